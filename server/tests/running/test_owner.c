/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What owners put into a capsule besides pages: metadata, listings, access lists; and files that change. */

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/server.h"

#define LARGE (24 * 1024 * 1024)

static struct server server;

static void begin(void) {
    server_prepare(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(owner, .init = begin, .fini = end, .timeout = 90);

static void expect_meta(const char *request, int status, const char *meta) {
    const struct gemini_reply *reply = ask(&server, request);
    cr_expect_eq(reply->status, status, "'%s' was answered with %d %s", request, reply->status, reply->meta);
    cr_expect_str_eq(reply->meta, meta, "'%s' was answered with %d %s", request, reply->status, reply->meta);
}

Test(owner, row_13_files_are_served_as_they_are) {
    static const char text[] = "\xef\xbb\xbf# Mark\r\nand\nends";
    server_put_text(&server, "localhost/mark.gmi", text);
    server_start(&server);
    expect_page(&server, "gemini://localhost:PORT/mark.gmi", text);
}

Test(owner, row_14_languages) {
    server_put_text(&server, "localhost/a.gmi", "x");
    server_put_text(&server, "localhost/b.gmi", "x");
    server_put_text(&server, "localhost/c.gmi", "x");
    server_put_text(&server, "localhost/.meta", "a.gmi: ;lang=de\nb.gmi: ;lang=\"en,fr\"\nc.gmi: ;lang=no_language\n");
    server_start(&server);
    expect_meta("gemini://localhost:PORT/a.gmi", 20, "text/gemini;lang=de");
    expect_meta("gemini://localhost:PORT/b.gmi", 20, "text/gemini;lang=\"en,fr\"");
    expect_meta("gemini://localhost:PORT/c.gmi", 20, "text/gemini");
    cr_expect(server_logged(&server, "localhost/.meta\":3: "), "the fault is not in the log");
}

Test(owner, row_15_a_charset_only_where_it_is_asked_for) {
    server_put_text(&server, "localhost/plain.txt", "x");
    server_put_text(&server, "localhost/old.txt", "x");
    server_put_text(&server, "localhost/.meta", "old.txt: text/plain; charset=iso-8859-1\n");
    server_start(&server);
    expect_meta("gemini://localhost:PORT/plain.txt", 20, "text/plain");
    expect_meta("gemini://localhost:PORT/old.txt", 20, "text/plain; charset=iso-8859-1");
}

Test(owner, row_9_metadata_answers_with_every_status_that_fits) {
    static const struct {
        const char *rule;
        int status;
        const char *meta;
    } rules[] = {
        {"10 Your name?", 10, "Your name?"},
        {"11 Your word?", 11, "Your word?"},
        {"30 /new/", 30, "/new/"},
        {"31 gemini://other.example/", 31, "gemini://other.example/"},
        {"40 Later", 40, "Later"},
        {"41 Busy", 41, "Busy"},
        {"42 Broken", 42, "Broken"},
        {"43 Proxy", 43, "Proxy"},
        {"44 Slowly", 44, "Slowly"},
        {"50 Never", 50, "Never"},
        {"51 No", 51, "No"},
        {"52 Gone", 52, "Gone"},
        {"53 Elsewhere", 53, "Elsewhere"},
        {"59 Bad", 59, "Bad"},
        {"60 Who?", 60, "Who?"},
        {"61 Not you", 61, "Not you"},
        {"62 Not now", 62, "Not now"},
    };
    char metadata[2048] = "", request[64];
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        snprintf(metadata + strlen(metadata), sizeof metadata - strlen(metadata), "rule-%zu: %s\n", i, rules[i].rule);
    server_put_text(&server, "localhost/.meta", metadata);
    server_start(&server);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        snprintf(request, sizeof request, "gemini://localhost:PORT/rule-%zu", i);
        expect_meta(request, rules[i].status, rules[i].meta);
    }
    server_put_text(&server, "localhost/.meta", "page: 21 No such status\nother: 99 None\n");
    expect_status(&server, "gemini://localhost:PORT/page", 51);
    expect_status(&server, "gemini://localhost:PORT/other", 51);
    cr_expect(server_logged(&server, "localhost/.meta\":1: ") && server_logged(&server, "localhost/.meta\":2: "));
}

Test(owner, a_listing_where_it_is_allowed) {
    server_put_text(&server, "localhost/files/.directory-listing-ok", "# My files\n");
    server_put_text(&server, "localhost/files/b: 100% of it?.txt", "12345");
    server_put_text(&server, "localhost/files/folder/x.txt", "x");
    server_put_text(&server, "localhost/files/.hidden", "x");
    server_start(&server);
    const struct gemini_reply *reply = ask(&server, "gemini://localhost:PORT/files/");
    cr_expect_eq(reply->status, 20);
    cr_expect_eq(strncmp(reply->body, "# My files\n", 11), 0, "%s", reply->body);
    cr_expect(strstr(reply->body, "=> folder/ "), "%s", reply->body);
    cr_expect_null(strstr(reply->body, "hidden"));
    /* Each of its links must work. */
    char link[256], request[320];
    const char *line = strstr(reply->body, "=> ");
    int links = 0;
    char *page = strdup(reply->body);
    for (line = strstr(page, "=> "); line; line = strstr(line + 1, "\n=> ")) {
        cr_assert_eq(sscanf(strstr(line, "=> "), "=> %255s", link), 1);
        snprintf(request, sizeof request, "gemini://localhost:PORT/files/%s", link);
        int status = ask(&server, request)->status;
        cr_expect(status == (strcmp(link, "folder/") == 0 ? 51 : 20), "%s is %d", link, status);
        links++;
    }
    cr_expect_eq(links, 2, "%s", page);
    free(page);
    expect_status(&server, "gemini://localhost:PORT/files/folder/", 51);
}

/* ---- clients with a certificate ---- */

static char identity[128];

/* Makes a self-signed certificate, valid from `begins` to `ends`, in days from now. */
static void make_identity(const char *key, int begins, int ends, char fingerprint[static 65]) {
    char command[1024];
    static int number;
    snprintf(identity, sizeof identity, "%s/visitor-%d.pem", server.folder, number++);
    snprintf(
        command, sizeof command,
        "openssl req -x509 -newkey %s -nodes -subj /CN=visitor -not_before $(date -u -d '%d days' "
        "+%%Y%%m%%d%%H%%M%%SZ) "
        "-not_after $(date -u -d '%d days' +%%Y%%m%%d%%H%%M%%SZ) -keyout %s.key -out %s 2>/dev/null && cat %s.key >>%s",
        key, begins, ends, identity, identity, identity, identity);
    cr_assert_eq(system(command), 0, "%s", command);
    FILE *file = fopen(identity, "r");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    unsigned char digest[32];
    unsigned size = sizeof digest;
    cr_assert(certificate && X509_digest(certificate, EVP_sha256(), digest, &size));
    for (unsigned i = 0; i < size; i++)
        snprintf(fingerprint + 2 * i, 3, "%02x", digest[i]);
    X509_free(certificate);
}

static int ask_with(const char *who, const char *request, int version) {
    struct gemini_way way = way_to(&server);
    way.identity = who;
    way.oldest_version = way.newest_version = version;
    return ask_by(&way, request)->status;
}

Test(owner, row_20_client_certificates) {
    static const char *const keys[] = {"rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ed25519"};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    char fingerprint[65], list[256];
    server_put_text(&server, "localhost/open.gmi", "x");
    server_put_text(&server, "localhost/club/index.gmi", "# Club\n");
    server_start(&server);
    for (int i = 0; i < 3; i++) {
        make_identity(keys[i], -1, 30, fingerprint);
        for (int v = 0; v < 2; v++) {
            server_put_text(&server, "localhost/club/.access", "# nobody\n");
            cr_expect_eq(ask_with(NULL, "gemini://localhost:PORT/club/", versions[v]), 60);
            cr_expect_eq(ask_with(identity, "gemini://localhost:PORT/club/", versions[v]), 61, "%s", keys[i]);
            cr_expect_eq(ask_with(identity, "gemini://localhost:PORT/club/missing", versions[v]), 61);
            cr_expect_eq(ask_with(identity, "gemini://localhost:PORT/open.gmi", versions[v]), 20);
            snprintf(list, sizeof list, "%s Ada Lovelace\n", fingerprint);
            server_put_text(&server, "localhost/club/.access", list);
            cr_expect_eq(ask_with(identity, "gemini://localhost:PORT/club/", versions[v]), 20, "%s", keys[i]);
            cr_expect_eq(ask_with(NULL, "gemini://localhost:PORT/club/", versions[v]), 60);
            cr_expect_eq(ask_with(identity, "gemini://localhost:PORT/club/.access", versions[v]), 51);
        }
    }
    cr_expect(server_logged(&server, "path=\"/club/\" visitor=\"Ada Lovelace\""));
}

Test(owner, row_20_certificates_of_another_time) {
    static const int times[][2] = {{-30, -1}, {1, 30}};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    char fingerprint[65], list[256];
    server_put_text(&server, "localhost/open.gmi", "x");
    server_put_text(&server, "localhost/club/index.gmi", "# Club\n");
    server_start(&server);
    for (int i = 0; i < 2; i++) {
        make_identity("ec -pkeyopt ec_paramgen_curve:P-256", times[i][0], times[i][1], fingerprint);
        snprintf(list, sizeof list, "%s Ada\n", fingerprint);
        server_put_text(&server, "localhost/club/.access", list);
        for (int v = 0; v < 2; v++) {
            cr_expect_eq(ask_with(identity, "gemini://localhost:PORT/club/", versions[v]), 62);
            cr_expect_eq(ask_with(identity, "gemini://localhost:PORT/open.gmi", versions[v]), 20);
        }
    }
}

/* ---- files that change while they are served ---- */

/* Returns a client that has read the first bytes of a large file and waits. */
static struct gemini_client *read_beginning(struct gemini_reply *reply) {
    static struct gemini_way way;
    way = way_to(&server);
    struct gemini_client *client = gemini_connect(&way);
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    gemini_receive(client, reply, 100000);
    return client;
}

static void put_large(const char *path, char byte) {
    char *bytes = malloc(LARGE);
    memset(bytes, byte, LARGE);
    server_put(&server, path, bytes, LARGE);
    free(bytes);
}

Test(owner, row_10_a_file_that_shrinks_ends_without_close_notify) {
    char path[160];
    struct gemini_reply reply = {0};
    put_large("localhost/large.bin", 'a');
    server_start(&server);
    struct gemini_client *client = read_beginning(&reply);
    snprintf(path, sizeof path, "%s/content/localhost/large.bin", server.folder);
    cr_assert_eq(truncate(path, 1000), 0);
    gemini_receive(client, &reply, 0);
    cr_expect_neq(reply.progress, GEMINI_CLOSE_NOTIFY, "a part was passed off as the whole");
    cr_expect_lt(reply.body_size, LARGE);
    cr_expect(server_logged(&server, "complete=no"));
    gemini_end(client);
    gemini_reply_end(&reply);
}

Test(owner, a_file_replaced_by_rename_is_served_whole) {
    char from[160], to[160];
    struct gemini_reply reply = {0};
    put_large("localhost/large.bin", 'a');
    put_large("localhost/fresh.bin", 'b');
    server_start(&server);
    struct gemini_client *client = read_beginning(&reply);
    snprintf(from, sizeof from, "%s/content/localhost/fresh.bin", server.folder);
    snprintf(to, sizeof to, "%s/content/localhost/large.bin", server.folder);
    cr_assert_eq(rename(from, to), 0);
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.progress, GEMINI_CLOSE_NOTIFY);
    cr_assert_eq(reply.body_size, LARGE);
    cr_expect(reply.body[0] == 'a' && reply.body[LARGE - 1] == 'a', "old and new are mixed");
    gemini_end(client);
    gemini_reply_end(&reply);
    const struct gemini_reply *fresh = ask(&server, "gemini://localhost:PORT/large.bin");
    cr_expect(fresh->body_size == LARGE && fresh->body[0] == 'b' && fresh->body[LARGE - 1] == 'b');
}
