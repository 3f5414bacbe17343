/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tests for the image on every kind of host, and for the image booted by itself. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

TestSuite(served, .timeout = 900);

Test(served, it_answers_every_kind_of_request_by_its_status) {
    struct host host = host_here();
    static const struct {
        const char *path;
        int status;
        const char *meta;
    } requests[] = {
        {"/", 20, "text/gemini"},
        {"/index.gmi", 20, "text/gemini"},
        {"/house/", 20, "text/gemini"},
        {"/house-rules.txt", 20, "text/plain"},
        {"/pictures/vitrine.png", 20, "image/png"},
        {"/a%20name%20with%20spaces.gmi", 20, "text/gemini"},
        {"/gr%C3%BC%C3%9Fe.gmi", 20, "text/gemini"},
        {"/house", 31, "/house/"},
        {"/missing.gmi", 51, ""},
        {"/../../../etc/os-release", 59, ""},
        {"/%2e%2e/%2e%2e/usr/bin/vitrine", 59, ""},
        {"/%", 59, ""},
        {"/#fragment", 59, ""},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        const struct gemini_reply *reply = host_ask(&host, requests[i].path);
        cr_expect_eq(reply->status, requests[i].status, "%s is %d %s, not %d", requests[i].path, reply->status,
                     reply->meta, requests[i].status);
        cr_expect_eq(strncmp(reply->meta, requests[i].meta, strlen(requests[i].meta)), 0, "%s is %s", requests[i].path,
                     reply->meta);
    }
}

Test(served, another_host_is_53) {
    struct host host = host_here();
    struct gemini_reply reply = {0};
    const struct gemini_way way = {.port = host.port, .server_name = "localhost"};
    const char request[] = "gemini://elsewhere.example/\r\n";
    cr_expect_eq(gemini_fetch(&way, request, sizeof request - 1, &reply), GEMINI_CLOSE_NOTIFY);
    cr_expect_eq(reply.status, 53, "%d %s", reply.status, reply.meta);
    gemini_reply_end(&reply);
}

Test(served, both_address_families_are_served) {
    struct host host = host_here();
    static const char *const addresses[] = {"127.0.0.1", "::1"};
    /* QEMU's own network reaches a virtual machine only over IPv4. */
    for (int i = 0; i < (host_is_virtual() ? 1 : 2); i++) {
        struct gemini_reply reply = {0};
        char request[64];
        const struct gemini_way way = {.address = addresses[i], .port = host.port, .server_name = "localhost"};
        int size = snprintf(request, sizeof request, "gemini://localhost:%u/\r\n", host.port);
        cr_expect_eq(gemini_fetch(&way, request, (size_t)size, &reply), GEMINI_CLOSE_NOTIFY, "%s", addresses[i]);
        cr_expect_eq(reply.status, 20, "by %s: %d %s", addresses[i], reply.status, reply.meta);
        gemini_reply_end(&reply);
    }
}

/* Compares the pages with the files in the repository, byte for byte. */
Test(served, pages_come_as_they_were_put_in) {
    struct host host = host_here();
    static const char *const files[][2] = {
        {"/", "index.gmi"},
        {"/pictures/vitrine.png", "pictures/vitrine.png"},
        {"/a%20name%20with%20spaces.gmi", "a name with spaces.gmi"},
        {"/gr%C3%BC%C3%9Fe.gmi", "grüße.gmi"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[256], bytes[65536];
        snprintf(path, sizeof path, "mkosi.extra/usr/share/vitrine/sample/localhost/%s", files[i][1]);
        FILE *file = fopen(path, "r");
        cr_assert_not_null(file, "%s", path);
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        const struct gemini_reply *reply = host_ask(&host, files[i][0]);
        cr_expect(reply->body_size == size && memcmp(reply->body, bytes, size) == 0, "%s is not %s", files[i][0], path);
    }
}

/* Follows every link within the sample capsule. `pages` contains paths found so far. */
Test(served, no_link_of_the_sample_capsule_is_broken) {
    struct host host = host_here();
    char *pages[200];
    size_t count = 1;
    pages[0] = strdup("/");
    for (size_t at = 0; at < count; at++) {
        const struct gemini_reply *reply = host_ask(&host, pages[at]);
        cr_expect_eq(reply->status, 20, "%s is %d %s", pages[at], reply->status, reply->meta);
        if (strncmp(reply->meta, "text/gemini", 11) != 0)
            continue;
        bool preformatted = false;
        for (const char *line = reply->body; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            char link[512], path[1100];
            preformatted ^= strncmp(line, "```", 3) == 0;
            if (preformatted || sscanf(line, "=> %511s", link) != 1 || strstr(link, "://"))
                continue;
            if (link[0] == '/')
                snprintf(path, sizeof path, "%s", link);
            else
                snprintf(path, sizeof path, "%.*s%s", (int)(strrchr(pages[at], '/') + 1 - pages[at]), pages[at],
                         strcmp(link, "./") == 0 ? "" : link);
            bool known = false;
            for (size_t i = 0; i < count; i++)
                known |= strcmp(pages[i], path) == 0;
            if (!known && count < 200)
                pages[count++] = strdup(path);
        }
    }
    cr_expect_geq(count, 9, "only %zu pages were found", count);
    for (size_t i = 0; i < count; i++)
        free(pages[i]);
}

Test(served, an_identity_stays_the_same_within_a_life) {
    struct host host = host_here();
    char first[GEMINI_FINGERPRINT_SIZE], again[GEMINI_FINGERPRINT_SIZE];
    const struct gemini_way way = {.port = host.port, .server_name = "localhost"};
    for (int round = 0; round < 10; round++) {
        struct gemini_client *client = gemini_connect(&way);
        cr_assert(client && gemini_shake_hands(client), "no handshake");
        gemini_fingerprint(client, round == 0 ? first : again);
        cr_expect(round == 0 || strcmp(first, again) == 0, "two certificates at once");
        gemini_end(client);
    }
}
