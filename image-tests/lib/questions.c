/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The requests that tests send to a server, and what every response must be. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define REQUEST_MAX 4096

struct gemini_way way_to(const struct server *server) {
    return (struct gemini_way){.port = server->port, .server_name = "localhost"};
}

const char *with_port(const char *text, uint16_t port) {
    static char result[REQUEST_MAX];
    size_t length = 0;
    while (*text && length + 6 < sizeof result) {
        if (strncmp(text, "PORT", 4) == 0) {
            length += (size_t)snprintf(result + length, 6, "%u", port);
            text += 4;
        } else {
            result[length++] = *text++;
        }
    }
    result[length] = '\0';
    return result;
}

/* Well-formed UTF-8 (RFC 3629) without C0 and C1 controls, DEL and the byte order mark. */
static bool is_clean(const char *text) {
    const unsigned char *byte = (const unsigned char *)text;
    while (*byte) {
        unsigned length = *byte < 0x80 ? 1 : *byte >= 0xf0 ? 4 : *byte >= 0xe0 ? 3 : 2;
        if (*byte < 0x20 || *byte == 0x7f || (*byte >= 0x80 && *byte < 0xc2) || *byte > 0xf4)
            return false;
        for (unsigned i = 1; i < length; i++) {
            if ((byte[i] & 0xc0) != 0x80)
                return false;
        }
        if ((byte[0] == 0xc2 && byte[1] < 0xa0) || (byte[0] == 0xe0 && byte[1] < 0xa0) ||
            (byte[0] == 0xed && byte[1] > 0x9f) || (byte[0] == 0xf0 && byte[1] < 0x90) ||
            (byte[0] == 0xf4 && byte[1] > 0x8f) || memcmp(byte, "\xef\xbb\xbf", 3) == 0)
            return false;
        byte += length;
    }
    return true;
}

static bool status_exists(int status) {
    static const int all[] = {10, 11, 20, 30, 31, 40, 41, 42, 43, 44, 50, 51, 52, 53, 59, 60, 61, 62};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i] == status)
            return true;
    }
    return false;
}

void expect_well_formed(const struct gemini_reply *reply, const char *what) {
    static const char *const ends[] = {"is still open", "close_notify",     "was cut off without close_notify",
                                       "was reset",     "broke within TLS", "did not come in time"};
    cr_assert_eq(reply->progress, GEMINI_CLOSE_NOTIFY, "the reply to '%s' %s: %.40s", what, ends[reply->progress],
                 reply->bytes ? reply->bytes : "");
    cr_expect(reply->connection_ended, "after the reply to '%s' the connection was not closed", what);
    cr_assert(status_exists(reply->status), "the reply to '%s' has no proper header: %.40s", what,
              reply->bytes ? reply->bytes : "");
    cr_expect(is_clean(reply->meta), "the header of the reply to '%s' is not clean UTF-8", what);
    bool bare = reply->bytes[2] != ' ';
    if (reply->status < 40)
        cr_expect(!bare && reply->meta[0], "status %d of '%s' must have a meta", reply->status, what);
    else
        cr_expect(bare || reply->meta[0], "status %d of '%s' has a space and no message", reply->status, what);
    if (reply->status == 20)
        cr_expect(strchr(reply->meta, '/') && reply->meta[0] != '/', "'%s' is no media type", reply->meta);
    else
        cr_expect_eq(reply->body_size, 0, "status %d of '%s' has a body", reply->status, what);
}

const struct gemini_reply *ask_bytes(const struct gemini_way *way, const void *bytes, size_t size) {
    static struct gemini_reply reply;
    char what[80];
    gemini_reply_end(&reply);
    gemini_fetch(way, bytes, size, &reply);
    snprintf(what, sizeof what, "%.*s", (int)(size > 70 ? 70 : size), (const char *)bytes);
    expect_well_formed(&reply, what);
    return &reply;
}

const struct gemini_reply *ask_by(const struct gemini_way *way, const char *request) {
    char line[REQUEST_MAX + 2];
    int size = snprintf(line, sizeof line, "%s\r\n", with_port(request, way->port));
    return ask_bytes(way, line, (size_t)size);
}

const struct gemini_reply *ask(const struct server *server, const char *request) {
    struct gemini_way way = way_to(server);
    return ask_by(&way, request);
}

void expect_status(const struct server *server, const char *request, int status) {
    const struct gemini_reply *reply = ask(server, request);
    cr_expect_eq(reply->status, status, "'%.80s' was answered with %d %s, not with %d", request, reply->status,
                 reply->meta, status);
}

void expect_page(const struct server *server, const char *request, const char *body) {
    const struct gemini_reply *reply = ask(server, request);
    cr_expect_eq(reply->status, 20, "'%.80s' was answered with %d %s, not with a page", request, reply->status,
                 reply->meta);
    if (reply->status == 20)
        cr_expect_str_eq(reply->body, body, "'%.80s' is another page: %.40s", request, reply->body);
}
