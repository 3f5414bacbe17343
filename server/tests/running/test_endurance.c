/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whatever a client does, nothing of it stays after it has left: memory is the same after many visits of each kind.
 * VISITS sets their number (make attacks: 10,000); make check uses fewer.
 */

#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/server.h"

#define VISITS_USUAL 150
#define WARM 50 /* visits of each kind before memory is measured */

static struct server server;
static char member[96], chain[96], dear[96];

/* ---- memory ---- */

static size_t memory_of_all(void) {
    pid_t workers[WORKERS_MAX];
    size_t count = server_workers(&server, workers),
           sum = process_private_memory(server.process) + process_private_memory(server_keys(&server));
    for (size_t i = 0; i < count; i++)
        sum += process_private_memory(workers[i]);
    cr_assert_gt(sum, 0);
    return sum;
}

/* ---- kinds of visits ---- */

static char start[64];
static const char *request = start;
static int version;

static struct gemini_client *come(const char *identity) {
    static char source[32];
    static unsigned number;
    struct gemini_way way = way_to(&server);
    snprintf(source, sizeof source, "127.2.%u.%u", number / 250 % 250, number % 250 + 1); /* ports do not run out */
    number++;
    way.source = source;
    way.identity = identity;
    way.oldest_version = way.newest_version = version;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    return client;
}

/* The key process refuses one in 65,536 TLS 1.2 handshakes, whose content looks like something else (signing.h). */
#define UNLUCKY_MAX 8
static unsigned unlucky;

static bool shake_hands(struct gemini_client *client) {
    bool shaken = gemini_shake_hands(client);
    unlucky += !shaken;
    return shaken;
}

static void ask_and_leave(struct gemini_client *client, int status) {
    struct gemini_reply reply = {0};
    if (!shake_hands(client)) {
        gemini_end(client);
        return;
    }
    cr_assert(gemini_send(client, request, strlen(request)));
    gemini_receive(client, &reply, 0);
    cr_assert_eq(reply.status, status, "%d %s", reply.status, reply.meta);
    gemini_reply_end(&reply);
    gemini_end(client);
}

static void without_certificate(void) {
    ask_and_leave(come(NULL), 20);
}

static void with_certificate(void) {
    ask_and_leave(come(member), 20);
}

static void with_chain(void) {
    ask_and_leave(come(chain), 20);
}

static void with_dear_key(void) {
    struct gemini_reply reply = {0};
    struct gemini_client *client = come(dear);
    if (gemini_shake_hands(client)) /* with TLS 1.3, the client's handshake is complete before the server refuses it */
        gemini_receive(client, &reply, 0);
    cr_assert_eq(reply.status, 0);
    gemini_reply_end(&reply);
    gemini_end(client);
}

/* Makes a session that the server never issued. */
static SSL_SESSION *made_up(const SSL *session, uint16_t cipher) {
    static const unsigned char bytes[48] = "a session of nobody";
    const unsigned char name[2] = {(unsigned char)(cipher >> 8), (unsigned char)cipher};
    SSL_SESSION *made = SSL_SESSION_new();
    cr_assert(made && SSL_SESSION_set_protocol_version(made, version) &&
              SSL_SESSION_set_cipher(made, SSL_CIPHER_find((SSL *)(uintptr_t)session, name)) &&
              SSL_SESSION_set1_master_key(made, bytes, version == TLS1_3_VERSION ? 32 : 48) &&
              SSL_SESSION_set1_id(made, bytes, 32));
    return made;
}

static int offer(SSL *session, const EVP_MD *digest, const unsigned char **name, size_t *size, SSL_SESSION **made) {
    (void)digest;
    *name = (const unsigned char *)"nobody";
    *size = 6;
    *made = made_up(session, 0x1301);
    return 1;
}

static void with_resumption(void) {
    struct gemini_client *client = come(NULL);
    if (version == TLS1_3_VERSION) {
        SSL_set_psk_use_session_callback(client->session, offer);
    } else {
        SSL_SESSION *made = made_up(client->session, 0xc02b);
        cr_assert(SSL_set_session(client->session, made));
        SSL_SESSION_free(made);
    }
    ask_and_leave(client, 20);
}

static void with_error(void) {
    static const struct {
        const char *line;
        int status;
    } errors[] = {{"gemini://localhost:PORT/missing.gmi\r\n", 51},
                  {"gemini://elsewhere.example/\r\n", 53},
                  {"no address\r\n", 59}};
    static size_t turn;
    request = with_port(errors[turn % 3].line, server.port);
    ask_and_leave(come(NULL), errors[turn % 3].status);
    request = start;
    turn++;
}

/* Ends at some point during the handshake, or after it. */
static void given_up(void) {
    static size_t turn;
    struct gemini_client *client = come(NULL);
    switch (turn++ % 4) {
    case 0:
        break;
    case 1:
        gemini_send_raw(client, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
        break;
    case 2:
        SSL_do_handshake(client->session);
        char hello[4096];
        int size = BIO_read(client->to_peer, hello, sizeof hello);
        gemini_send_raw(client, hello, size > 0 ? (size_t)size : 0);
        break;
    default:
        shake_hands(client);
    }
    gemini_end(client);
}

static void garbage(void) {
    static const char plain[] = "GET / HTTP/1.1\r\n\r\n", record[] = "\x17\x03\x03\x00\x13not what was agreed";
    static size_t turn;
    struct gemini_client *client = come(NULL);
    if (turn++ % 4 < 2) {
        gemini_send_raw(client, plain, sizeof plain - 1);
    } else {
        shake_hands(client);
        gemini_send_raw(client, record, sizeof record - 1);
    }
    gemini_receive_raw(client);
    gemini_end(client);
}

static const struct {
    const char *name;
    void (*visit)(void);
} kinds[] = {
    {"without a certificate", without_certificate}, {"with a certificate", with_certificate},
    {"with a chain of certificates", with_chain},   {"with a session to be resumed", with_resumption},
    {"that end with an error", with_error},         {"given up at some point", given_up},
    {"that speak something else", garbage},         {"with a key that is refused", with_dear_key},
};

#define KINDS (sizeof kinds / sizeof *kinds)

/* ---- the test ---- */

static void begin(void) {
    char command[2048];
    server_prepare(&server);
    snprintf(member, sizeof member, "%s/member.pem", server.folder);
    snprintf(chain, sizeof chain, "%s/chain.pem", server.folder);
    snprintf(dear, sizeof dear, "%s/dear.pem", server.folder);
    snprintf(
        command, sizeof command,
        "cd %s && exec 2>openssl.log && "
        "make() { openssl req -x509 -newkey $1 -pkeyopt $2 -nodes -subj /CN=$3 -keyout k -out c; } && "
        "curve=ec_paramgen_curve:P-256 && make ec $curve Ada && cat c k >member.pem && cp k own && cp c first && "
        "for i in 1 2 3; do make ec $curve Authority$i && cat c >>first || exit; done && cat first own >chain.pem && "
        "make rsa rsa_keygen_bits:4608 Bob && cat c k >dear.pem",
        server.folder);
    cr_assert_eq(system(command), 0);
    server_start(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(endurance, .init = begin, .fini = end, .timeout = 1800);

Test(endurance, nothing_is_left_of_visits_of_any_kind) {
    const char *text = getenv("VISITS");
    size_t visits = text ? strtoul(text, NULL, 10) : VISITS_USUAL;
    snprintf(start, sizeof start, "gemini://localhost:%u/\r\n", server.port);
    for (size_t i = 0; i < WARM * KINDS; i++) {
        version = i / KINDS % 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        kinds[i % KINDS].visit();
    }
    usleep(2500000); /* until lingering connections have ended */
    size_t before = memory_of_all();
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < visits; i++) {
            version = i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
            kinds[kind].visit();
        }
        usleep(2500000);
        size_t after = memory_of_all();
        const char *path = getenv("VISITS_TABLE");
        FILE *table = path ? fopen(path, "a") : NULL;
        if (table) {
            fprintf(table, "%s | %zu | %zu | %zu\n", kinds[kind].name, visits, before, after);
            fclose(table);
        }
        cr_expect_leq(after, before + promised("memory-growth"), "visits %s: %zu kB became %zu kB after %zu",
                      kinds[kind].name, before, after, visits);
        before = after;
    }
    cr_expect_leq(unlucky, UNLUCKY_MAX, "%u handshakes failed", unlucky);
}
