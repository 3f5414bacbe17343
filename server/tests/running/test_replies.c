/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a response contains, byte for byte, and how it ends. expect_well_formed (questions.c) checks every response in
 * all tests.
 */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/server.h"

#define LARGE (24 * 1024 * 1024)

static struct server server;

static void begin(void) {
    server_prepare(&server);
    server_put_text(&server, "localhost/page.gmi", "# Page\n");
    server_put_text(&server, "localhost/folder/index.gmi", "# Folder\n");
    server_start(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(replies, .init = begin, .fini = end, .timeout = 90);

static void put_large(void) {
    char *bytes = calloc(1, LARGE);
    cr_assert_not_null(bytes);
    server_put(&server, "localhost/large.bin", bytes, LARGE);
    free(bytes);
}

/* Starts a conversation and sends the request. */
static struct gemini_client *begin_asking(struct gemini_way way, const char *request) {
    char line[1100];
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    snprintf(line, sizeof line, "%s\r\n", with_port(request, server.port));
    cr_assert(gemini_send(client, line, strlen(line)));
    return client;
}

Test(replies, row_7_no_name_gets_controls_into_the_header) {
    static const char *const names[][2] = {
        {"line\nfeed", "line%0Afeed"},
        {"carriage\rreturn", "carriage%0Dreturn"},
        {"tab\tulator", "tab%09ulator"},
        {"delete\x7f", "delete%7F"},
        {"escape\x1b[31m", "escape%1B%5B31m"},
        {"next\xc2\x85line", "next%C2%85line"},
        {"mark\xef\xbb\xbf", "mark%EF%BB%BF"},
        {"invalid\xff", "invalid%FF"},
        {"percent%", "percent%25"},
        {"question?", "question%3F"},
        {"hash#", "hash%23"},
        {"s p a c e", "s%20p%20a%20c%20e"},
        {"\xc3\xbcmlaut", "%C3%BCmlaut"},
        {"colon:name", "colon:name"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64], request[GEMINI_META_MAX + 64];
        snprintf(path, sizeof path, "localhost/%s/index.gmi", names[i][0]);
        server_put_text(&server, path, "# Odd\n");
        snprintf(request, sizeof request, "gemini://localhost:PORT/%s", names[i][1]);
        const struct gemini_reply *reply = ask(&server, request);
        /* A name with control characters, or that is not UTF-8, may also be refused. */
        cr_expect(reply->status == 31 || (i < 8 && (reply->status == 59 || reply->status == 51)),
                  "'%s' was answered with %d %s", request, reply->status, reply->meta);
        if (reply->status != 31)
            continue;
        cr_expect(strspn(reply->meta,
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/[]@!$&'()*+,;=%") ==
                      strlen(reply->meta),
                  "'%s' is no URI reference", reply->meta);
        /* The redirect must lead to the page: follow it. */
        if (reply->meta[0] == '/') {
            snprintf(request, sizeof request, "gemini://localhost:PORT%s", reply->meta);
        } else if (strncmp(reply->meta, "gemini://", 9) == 0) {
            snprintf(request, sizeof request, "%s", reply->meta);
        } else {
            /* RFC 3986, 4.2: a colon in the first segment would turn the beginning of the name into a scheme. */
            size_t segment = strcspn(reply->meta, "/");
            cr_expect_null(memchr(reply->meta, ':', segment), "'%s' begins like a scheme", reply->meta);
            snprintf(request, sizeof request, "gemini://localhost:PORT/%s",
                     reply->meta + (strncmp(reply->meta, "./", 2) == 0 ? 2 : 0));
        }
        expect_page(&server, request, "# Odd\n");
    }
}

Test(replies, row_8_the_header_byte_for_byte) {
    cr_expect_str_eq(ask(&server, "gemini://localhost:PORT/page.gmi")->bytes, "20 text/gemini\r\n# Page\n");
    static const char *const requests[] = {"gemini://localhost:PORT/folder", "gemini://localhost:PORT/missing",
                                           "gemini://elsewhere.example:PORT/", "gemini://localhost:PORT/#part"};
    static const int statuses[] = {31, 51, 53, 59};
    for (size_t i = 0; i < 4; i++) {
        const struct gemini_reply *reply = ask(&server, requests[i]);
        cr_expect_eq(reply->status, statuses[i]);
        cr_expect_eq(reply->size, strlen(reply->meta) + (reply->meta[0] ? 5 : 4), "status, space, meta, CRLF, no more");
    }
}

Test(replies, row_9_only_statuses_that_exist) {
    /* Sends random bytes: every response must be well-formed, which ask_bytes checks. */
    struct gemini_way way = way_to(&server);
    uint32_t state = 20241128;
    for (int round = 0; round < 300; round++) {
        char line[256];
        int size = snprintf(line, sizeof line, "gemini://localhost:%u/", server.port);
        for (int changes = round % 7; changes >= 0; changes--) {
            state = state * 1664525 + 1013904223;
            line[(state >> 8) % (uint32_t)size] = (char)(state >> 24);
        }
        memcpy(line + size, "\r\n", 2);
        const struct gemini_reply *reply = ask_bytes(&way, line, (size_t)size + 2);
        cr_expect(reply->status == 20 || reply->status == 51 || reply->status == 53 || reply->status == 59,
                  "status %d for changed bytes in round %d", reply->status, round);
    }
}

Test(replies, row_10_close_notify_on_every_path) {
    static const struct {
        const char *request;
        int status;
    } paths[] = {
        {"gemini://localhost:PORT/", 20},
        {"gemini://localhost:PORT/folder", 31},
        {"gemini://localhost:PORT/missing", 51},
        {"gemini://elsewhere.example:PORT/", 53},
        {"http://localhost:PORT/", 53},
        {"gemini://localhost:1/", 53},
        {"gemini://user@localhost:PORT/", 59},
        {"", 59},
        {"gemini://localhost:PORT/large.bin", 20},
    };
    put_large();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            struct gemini_way way = way_to(&server);
            way.oldest_version = way.newest_version = version;
            /* ask_by fails the test if close_notify is missing. */
            cr_expect_eq(ask_by(&way, paths[i].request)->status, paths[i].status, "%s", paths[i].request);
        }
    }
}

Test(replies, row_10_a_body_that_shrinks_ends_without_close_notify) {
    char path[128];
    struct gemini_reply reply = {0};
    put_large();
    struct gemini_client *client = begin_asking(way_to(&server), "gemini://localhost:PORT/large.bin");
    gemini_receive(client, &reply, 100000); /* the rest waits, because socket buffers are smaller than the file */
    snprintf(path, sizeof path, "%s/content/localhost/large.bin", server.folder);
    cr_assert_eq(truncate(path, 1000), 0);
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.status, 20);
    cr_expect_lt(reply.body_size, LARGE, "the whole file came after all; this test needs a larger one");
    cr_expect_neq(reply.progress, GEMINI_CLOSE_NOTIFY, "a body of %zu bytes in place of %d ended with close_notify",
                  reply.body_size, LARGE);
    cr_expect_neq(reply.progress, GEMINI_TOO_LATE, "the connection stays open");
    gemini_end(client);
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
}

Test(replies, row_10_a_body_that_grows_ends_where_it_ended) {
    char path[128];
    struct gemini_reply reply = {0};
    put_large();
    struct gemini_client *client = begin_asking(way_to(&server), "gemini://localhost:PORT/large.bin");
    gemini_receive(client, &reply, 100000);
    snprintf(path, sizeof path, "%s/content/localhost/large.bin", server.folder);
    cr_assert_eq(truncate(path, LARGE + 100000), 0);
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.progress, GEMINI_CLOSE_NOTIFY);
    cr_expect_eq(reply.body_size, LARGE, "%zu bytes", reply.body_size);
    gemini_end(client);
}

Test(replies, row_10_last_data_and_close_notify_in_one_segment) {
    for (int round = 0; round < 20; round++) {
        struct gemini_reply reply = {0};
        struct gemini_client *client = begin_asking(way_to(&server), "gemini://localhost:PORT/page.gmi");
        size_t before = client->receptions;
        cr_assert_eq(gemini_receive(client, &reply, 0), GEMINI_CLOSE_NOTIFY);
        cr_assert_eq(client->receptions - before, 1, "the reply came in %zu parts", client->receptions - before);
        gemini_reply_end(&reply);
        gemini_end(client);
    }
}

/* With a linger time of zero, close() resets the connection. */
static void end_by_reset(struct gemini_client *client) {
    setsockopt(client->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    gemini_end(client);
}

Test(replies, row_11_visitors_who_leave_without_a_word) {
    pid_t before[WORKERS_MAX], after[WORKERS_MAX];
    size_t count = server_workers(&server, before);
    struct gemini_way way = way_to(&server);
    put_large();
    for (int round = 0; round < 40; round++) {
        struct gemini_client *client = gemini_connect(&way);
        cr_assert_not_null(client);
        if (round % 4 == 0)
            cr_assert(gemini_send_raw(client, "\x16\x03\x01\x02\x00\x01", 6));
        if (round % 4 >= 1)
            cr_assert(gemini_shake_hands(client));
        if (round % 4 >= 2) {
            const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
            cr_assert(gemini_send(client, line, strlen(line)));
        }
        if (round % 4 == 3)
            gemini_receive(client, &(struct gemini_reply){0}, 1000);
        if (round % 8 < 4)
            gemini_end(client);
        else
            end_by_reset(client);
    }
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
    cr_expect_eq(server_workers(&server, after), count);
    cr_expect_arr_eq(before, after, count * sizeof *before, "a worker was replaced");
}

/* Did the connection stay open for a client that keeps sending after a response other than 20? */
static bool is_heard_out(const struct gemini_way *way) {
    static const char content[] = "what somebody uploads";
    const char *line = with_port("titan://localhost:PORT/page.gmi;size=21\r\n", server.port);
    struct gemini_reply reply = {0};
    int error = -1;
    socklen_t size = sizeof error;
    struct gemini_client *client = gemini_connect(way);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.progress, GEMINI_CLOSE_NOTIFY);
    cr_expect_eq(reply.status, 53, "%d %s", reply.status, reply.meta);
    bool sent = send(client->socket, content, sizeof content, MSG_NOSIGNAL) == (ssize_t)sizeof content;
    usleep(100000); /* time for a reset to arrive */
    cr_assert_eq(getsockopt(client->socket, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    gemini_reply_end(&reply);
    gemini_end(client);
    return sent && error == 0;
}

/*
 * A reset can overtake a response that the client has not read yet. So after refusing a request, the server keeps
 * reading for a while. A busy machine may sometimes exceed that time.
 */
Test(replies, row_12_clients_who_go_on_sending_get_no_reset) {
    struct gemini_way way = way_to(&server);
    bool heard_out = false;
    for (int round = 0; round < 5 && !heard_out; round++)
        heard_out = is_heard_out(&way);
    cr_expect(heard_out, "the connection was reset");
}

Test(replies, row_12_bytes_after_the_request_are_ignored) {
    struct gemini_way way = way_to(&server);
    static char line[200000];
    int size = snprintf(line, sizeof line, "gemini://localhost:%u/page.gmi\r\n", server.port);
    memcpy(line + size, line, (size_t)size);
    cr_expect_str_eq(ask_bytes(&way, line, (size_t)size * 2)->bytes, "20 text/gemini\r\n# Page\n", "a second request");
    memset(line + size, 'x', sizeof line - (size_t)size);
    cr_expect_str_eq(ask_bytes(&way, line, (size_t)size + 1)->bytes, "20 text/gemini\r\n# Page\n", "one byte more");
    for (int round = 0; round < 20; round++)
        cr_expect_str_eq(ask_bytes(&way, line, sizeof line)->bytes, "20 text/gemini\r\n# Page\n", "200 kB more");
    way.piece = (size_t)size;
    cr_expect_str_eq(ask_bytes(&way, line, (size_t)size * 50)->bytes, "20 text/gemini\r\n# Page\n", "50 records more");
}

Test(replies, row_27_what_is_not_tls_gets_no_byte) {
    static const struct {
        const char *bytes;
        size_t size;
    } openings[] = {
        {"GET / HTTP/1.0\r\n\r\n", 18},
        {"gemini://localhost/\r\n", 21},
        {"SSH-2.0-x\r\n", 11},
        {"\x15\x03\x01\x00\x02\x01\x00", 7}, /* an alert */
        {"\x17\x03\x03\x00\x01\x00", 6},     /* application data */
        {"\x14\x03\x03\x00\x01\x01", 6},
        {"\x80\x2e\x01\x03\x01\x00\x15", 7}, /* a hello of SSL 2 */
        {"\x00", 1},
        {"\xff", 1},
        {"\n", 1},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1 1965\r\n", 39},
    };
    struct gemini_way way = way_to(&server);
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        struct gemini_client *client = gemini_connect(&way);
        cr_assert_not_null(client);
        uint64_t begun = gemini_now();
        gemini_send_raw(client, openings[i].bytes, openings[i].size);
        size_t size = gemini_receive_raw(client);
        cr_expect_eq(size, 0, "opening %zu: %zu bytes came back", i, size);
        cr_expect_neq(client->progress, GEMINI_TOO_LATE, "opening %zu: the connection stays open", i);
        cr_expect_lt(gemini_now() - begun, 3000, "opening %zu: closed only after a time-out", i);
        gemini_end(client);
    }
    /* A client with TLS is served on the same port. */
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
}

Test(replies, row_27_a_connection_that_says_nothing_gets_no_byte) {
    struct gemini_way way = way_to(&server);
    way.patience = 40000;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    cr_expect_eq(gemini_receive_raw(client), 0);
    cr_expect_neq(client->progress, GEMINI_TOO_LATE, "an idle connection stays open for ever");
    gemini_end(client);
}

/* ---- every byte, with every cipher ---- */

/* Makes bytes without repetition, so that a missing, repeated or swapped record is noticed. */
static char *make_bytes(size_t size) {
    char *bytes = malloc(size + 1);
    uint64_t state = 88172645463325252u;
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* xorshift64 */
        bytes[i] = (char)(state >> 56);
    }
    return bytes;
}

#define RECORD 16384
#define HEADER (sizeof "20 application/octet-stream\r\n" - 1)
#define BODY_MAX (40 * RECORD + 77)

/* Ciphers of each version, with OpenSSL's names. */
static const struct {
    int version;
    const char *name;
} ciphers[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},        {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},  {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"}, {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

/* Fetches /body.bin and compares it. Reads `step` bytes at a time with a pause after each (0: without pauses). */
static void expect_body(size_t cipher, const char *bytes, size_t size, int buffer, size_t step) {
    struct gemini_way way = way_to(&server);
    struct gemini_reply reply = {0};
    way.oldest_version = way.newest_version = ciphers[cipher].version;
    way.cipher = ciphers[cipher].name;
    way.receive_buffer = buffer;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    cr_assert(gemini_shake_hands(client));
    cr_expect_str_eq(SSL_get_cipher_name(client->session), ciphers[cipher].name);
    char line[128];
    snprintf(line, sizeof line, "gemini://localhost:%u/body.bin\r\n", (unsigned)server.port);
    cr_assert(gemini_send(client, line, strlen(line)));
    for (size_t enough = step; step > 0 && gemini_receive(client, &reply, enough) == GEMINI_OPEN;
         enough = reply.size + step)
        usleep(2000);
    cr_expect_eq(gemini_receive(client, &reply, 0), GEMINI_CLOSE_NOTIFY, "%s, %zu bytes", ciphers[cipher].name, size);
    cr_expect_eq(reply.body_size, size, "%s: %zu of %zu bytes", ciphers[cipher].name, reply.body_size, size);
    cr_expect(reply.body_size == size && memcmp(reply.body, bytes, size) == 0, "%s, %zu bytes: others",
              ciphers[cipher].name, size);
    gemini_reply_end(&reply);
    gemini_end(client);
}

/* Uses bodies that end just before, at, and after the end of a record, and of the records that are made at once. */
Test(replies, bodies_of_every_length_arrive_by_every_cipher) {
    static const size_t sizes[] = {0,
                                   1,
                                   RECORD - HEADER - 1,
                                   RECORD - HEADER,
                                   RECORD - HEADER + 1,
                                   2 * RECORD - HEADER,
                                   2 * RECORD - HEADER + 1,
                                   8 * RECORD - HEADER,
                                   8 * RECORD - HEADER + 1,
                                   BODY_MAX};
    char *bytes = make_bytes(BODY_MAX);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        server_put(&server, "localhost/body.bin", bytes, sizes[i]);
        for (size_t cipher = 0; cipher < sizeof ciphers / sizeof *ciphers; cipher++)
            expect_body(cipher, bytes, sizes[i], 0, 0);
    }
    free(bytes);
}

/* The kernel accepts only parts of what the server sends, and the server must continue where it stopped. */
Test(replies, bodies_arrive_at_slow_readers_by_every_cipher) {
    char *bytes = make_bytes(BODY_MAX);
    server_put(&server, "localhost/body.bin", bytes, BODY_MAX);
    for (size_t cipher = 0; cipher < sizeof ciphers / sizeof *ciphers; cipher++)
        expect_body(cipher, bytes, BODY_MAX, 4096, 20011);
    free(bytes);
}
