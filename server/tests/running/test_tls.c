/* SPDX-License-Identifier: GPL-3.0-or-later */
/* TLS as clients see it: versions, names, key exchange (protocol rows 21, 22, 24). */

#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "lib/server.h"

#define FIRST "first.example"
#define SECOND "second.example"

static struct server server;

static void begin(void) {
    server_prepare(&server);
    server_put_text(&server, FIRST "/index.gmi", "# First\n");
    server_put_text(&server, SECOND "/index.gmi", "# Second\n");
    server_start(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(tls, .init = begin, .fini = end, .timeout = 90);

/* Returns the fingerprint of the certificate that a client gets this way. */
static const char *fingerprint_by(const struct gemini_way *way) {
    static char fingerprints[4][GEMINI_FINGERPRINT_SIZE];
    static unsigned turn;
    char *fingerprint = fingerprints[turn++ % 4];
    struct gemini_client *client = gemini_connect(way);
    cr_assert(client && gemini_shake_hands(client), "no handshake for %s", way->server_name);
    gemini_fingerprint(client, fingerprint);
    gemini_end(client);
    return fingerprint;
}

static struct gemini_way way_with_name(const char *name) {
    struct gemini_way way = way_to(&server);
    way.server_name = name;
    return way;
}

static void expect_start(const struct gemini_way *way, const char *request, const char *body) {
    const struct gemini_reply *reply = ask_by(way, request);
    cr_expect_eq(reply->status, 20, "%s: %d %s", request, reply->status, reply->meta);
    cr_expect(reply->status != 20 || strcmp(reply->body, body) == 0, "%s: %s", request, reply->body);
}

Test(tls, row_21_tls_1_2_and_1_3_are_spoken) {
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct gemini_way way = way_to(&server);
        way.oldest_version = way.newest_version = version;
        expect_start(&way, "gemini://localhost:PORT/", "# Start\n");
    }
}

Test(tls, row_21_the_newest_version_is_taken) {
    struct gemini_way way = way_to(&server);
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    cr_expect_eq(SSL_version(client->session), TLS1_3_VERSION, "%s", SSL_get_version(client->session));
    gemini_end(client);
}

Test(tls, row_21_nothing_older_is_spoken) {
    for (int version = TLS1_VERSION; version <= TLS1_1_VERSION; version++) {
        struct gemini_way way = way_to(&server);
        way.oldest_version = way.newest_version = version;
        struct gemini_client *client = gemini_connect(&way);
        cr_assert_not_null(client);
        cr_expect_not(gemini_shake_hands(client), "TLS 1.%d was spoken", version - TLS1_VERSION);
        /* The alert shows that the server refused it, and not the client's own library. */
        cr_expect_eq(client->alert, SSL_AD_PROTOCOL_VERSION, "alert %d", client->alert);
        gemini_end(client);
    }
}

Test(tls, row_22_each_host_has_its_certificate) {
    struct gemini_way first = way_with_name(FIRST), second = way_with_name(SECOND);
    cr_expect_str_neq(fingerprint_by(&first), fingerprint_by(&second), "two hosts share a certificate");
    cr_expect_str_eq(fingerprint_by(&first), fingerprint_by(&first));
    expect_start(&first, "gemini://" FIRST ":PORT/", "# First\n");
    expect_start(&second, "gemini://" SECOND ":PORT/", "# Second\n");
}

Test(tls, row_22_without_a_name) {
    struct gemini_way nameless = way_with_name(NULL), usual = way_to(&server);
    cr_expect_str_eq(fingerprint_by(&nameless), fingerprint_by(&usual), "not the certificate of the default capsule");
    expect_start(&nameless, "gemini://localhost:PORT/", "# Start\n");
    expect_start(&nameless, "gemini://" FIRST ":PORT/", "# First\n");
    nameless.oldest_version = nameless.newest_version = TLS1_2_VERSION;
    expect_start(&nameless, "gemini://localhost:PORT/", "# Start\n");
}

Test(tls, row_22_with_an_unknown_name) {
    struct gemini_way foreign = way_with_name("elsewhere.example"), nameless = way_with_name(NULL);
    cr_expect_str_eq(fingerprint_by(&foreign), fingerprint_by(&nameless), "not the default certificate");
    cr_expect_eq(ask_by(&foreign, "gemini://elsewhere.example:PORT/")->status, 53);
}

Test(tls, row_22_the_host_of_the_uri_decides) {
    struct gemini_way first = way_with_name(FIRST), foreign = way_with_name("elsewhere.example");
    expect_start(&first, "gemini://" SECOND ":PORT/", "# Second\n");
    expect_start(&foreign, "gemini://" FIRST ":PORT/", "# First\n");
    cr_expect_eq(ask_by(&first, "gemini://elsewhere.example:PORT/")->status, 53);
}

Test(tls, row_22_names_that_are_no_host_names) {
    static const char *const names[] = {
        "..",        "../" FIRST,
        "/",         "first.example/../second.example",
        "127.0.0.1", "first.example.",
        ".",         "-",
        "*.example", "a-name-that-is-longer-than-any-label-of-the-domain-name-system-may-ever-be.example"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct gemini_way way = way_with_name(names[i]);
        expect_start(&way, "gemini://localhost:PORT/", "# Start\n");
    }
}

Test(tls, row_24_no_early_data_and_no_tickets) {
    struct gemini_way way = way_to(&server);
    struct gemini_reply reply = {0};
    const char *line = with_port("gemini://localhost:PORT/\r\n", server.port);
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    cr_assert_eq(gemini_receive(client, &reply, 0), GEMINI_CLOSE_NOTIFY);
    cr_expect_eq(client->early_data, 0, "a ticket allows %u bytes of early data", client->early_data);
    cr_expect_eq(client->tickets, 0, "visitors can be followed by tickets");
    gemini_end(client);
}

Test(tls, key_exchange_by_each_group) {
    static const char *const groups[] = {"X25519MLKEM768", "X25519", "P-256"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        struct gemini_way way = way_to(&server);
        way.groups = groups[i];
        way.oldest_version = TLS1_3_VERSION;
        expect_start(&way, "gemini://localhost:PORT/", "# Start\n");
        way.piece = 1; /* a hybrid ClientHello has more than 1,200 bytes */
        expect_start(&way, "gemini://localhost:PORT/", "# Start\n");
    }
}

Test(tls, the_hybrid_group_is_taken_where_it_is_offered) {
    struct gemini_way way = way_to(&server);
    way.groups = "X25519MLKEM768:X25519:P-256";
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    cr_expect_str_eq(SSL_group_to_name(client->session, (int)SSL_get_negotiated_group(client->session)),
                     "X25519MLKEM768");
    gemini_end(client);
}

Test(tls, a_group_that_would_cost_too_much_is_refused) {
    struct gemini_way way = way_to(&server);
    way.groups = "P-384:P-521";
    way.oldest_version = TLS1_3_VERSION;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client);
    cr_expect_not(gemini_shake_hands(client), "%s",
                  SSL_group_to_name(client->session, (int)SSL_get_negotiated_group(client->session)));
    cr_expect_eq(client->alert, SSL_AD_HANDSHAKE_FAILURE, "alert %d", client->alert);
    gemini_end(client);
}

Test(tls, another_first_guess_costs_one_round_more) {
    /* The first key share is for an unsupported group, so the server sends a HelloRetryRequest (RFC 8446, 4.1.4). */
    struct gemini_way way = way_to(&server);
    way.groups = "P-384:X25519";
    way.oldest_version = TLS1_3_VERSION;
    expect_start(&way, "gemini://localhost:PORT/", "# Start\n");
}

Test(tls, garbage_within_tls_ends_the_connection) {
    struct gemini_way way = way_to(&server);
    for (int round = 0; round < 20; round++) {
        unsigned char garbage[512];
        memset(garbage, round * 13 + 1, sizeof garbage);
        memcpy(garbage, "\x16\x03\x01\x01\xf0\x01\x00\x01\xec\x03\x03", 11);
        garbage[11 + round] ^= 0xff;
        struct gemini_client *client = gemini_connect(&way);
        cr_assert(client && gemini_send_raw(client, garbage, sizeof garbage));
        gemini_receive_raw(client);
        cr_expect_neq(client->progress, GEMINI_TOO_LATE, "the connection stays open");
        gemini_end(client);
    }
    expect_start(&way, "gemini://localhost:PORT/", "# Start\n");
}

/* Fragments of any size but zero are allowed (RFC 8446 section 5.1), even within the header of a message. */
static void expect_fragments(int version, size_t part) {
    unsigned char hello[4096], records[6 * sizeof hello];
    struct gemini_way way = way_to(&server);
    struct gemini_reply reply = {0};
    const char *line = with_port("gemini://localhost:PORT/\r\n", server.port);
    size_t size = 0;
    way.oldest_version = way.newest_version = version;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    SSL_do_handshake(client->session);
    int length = BIO_read(client->to_peer, hello, sizeof hello);
    cr_assert_gt(length, 5);
    for (size_t at = 5; at < (size_t)length; at += part) {
        size_t now = (size_t)length - at < part ? (size_t)length - at : part;
        memcpy(records + size, hello, 3);
        records[size + 3] = (unsigned char)(now >> 8);
        records[size + 4] = (unsigned char)now;
        memcpy(records + size + 5, hello + at, now);
        size += 5 + now;
    }
    cr_assert(gemini_send_raw(client, records, size));
    cr_expect(gemini_shake_hands(client) && gemini_send(client, line, strlen(line)), "in records of %zu: alert %d",
              part, client->alert);
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.status, 20);
    gemini_reply_end(&reply);
    gemini_end(client);
}

Test(tls, a_greeting_in_records_of_any_size) {
    static const size_t parts[] = {1, 2, 3, 4, 100};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        expect_fragments(TLS1_2_VERSION, parts[i]);
        expect_fragments(TLS1_3_VERSION, parts[i]);
    }
}
