/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Identities that were given as credentials, and the commands about identities. */

#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server.h"

static struct server server;
static char given[96], state[96];

static void shell(const char *format, ...) {
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* openssl makes certificate and key, as an authority would. */
static void give(const char *host, const char *key, const char *names) {
    shell(
        "openssl req -x509 -newkey %s -nodes -days 90 -subj /CN=test -addext subjectAltName=%s -out %s/identity.%s.pem "
        "-keyout %s/identity.%s.key 2>/dev/null",
        key, names, given, host, given, host);
}

static void begin(void) {
    static const char *const hosts[] = {"p256", "ed25519", "rsa", "a.wild", "too-small"};
    server_prepare(&server);
    snprintf(given, sizeof given, "%s/given", server.folder);
    snprintf(state, sizeof state, "%s/state", server.folder);
    shell("mkdir %s", given);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/index.gmi", hosts[i]);
        server_put_text(&server, path, "# Given\n");
    }
    give("p256", "ec -pkeyopt ec_paramgen_curve:P-256", "DNS:p256");
    give("ed25519", "ed25519", "DNS:ed25519,DNS:*.wild");
    give("rsa", "rsa:2048", "DNS:rsa");
    give("too-small", "rsa:1024", "DNS:too-small");
    setenv("CREDENTIALS_DIRECTORY", given, 1);
    server_start(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(given, .init = begin, .fini = end, .timeout = 90);

/* Shakes hands with a capsule by one signature scheme. NULL: there was no handshake. */
static struct gemini_client *meet(const char *host, int version, const char *scheme) {
    struct gemini_way way = way_to(&server);
    way.server_name = host;
    way.oldest_version = way.newest_version = version;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    if (scheme)
        cr_assert_eq(SSL_set1_sigalgs_list(client->session, scheme), 1, "%s", scheme);
    if (gemini_shake_hands(client))
        return client;
    gemini_end(client);
    return NULL;
}

Test(given, every_kind_of_key_signs) {
    static const struct {
        const char *host, *scheme;
        bool old_only; /* not in TLS 1.3 (RFC 8446 section 4.2.3) */
    } cases[] = {
        {"p256", "ECDSA+SHA256", false},       {"ed25519", "ed25519", false},
        {"a.wild", "ed25519", false},          {"rsa", "rsa_pss_rsae_sha256", false},
        {"rsa", "rsa_pss_rsae_sha384", false}, {"rsa", "rsa_pss_rsae_sha512", false},
        {"rsa", "RSA+SHA256", true},           {"rsa", "RSA+SHA512", true},
    };
    pid_t workers[WORKERS_MAX], later[WORKERS_MAX];
    size_t count = server_workers(&server, workers);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gemini_client *client = meet(cases[i].host, TLS1_2_VERSION, cases[i].scheme);
        cr_expect_not_null(client, "%s by %s, TLS 1.2", cases[i].host, cases[i].scheme);
        gemini_end(client);
        client = meet(cases[i].host, TLS1_3_VERSION, cases[i].scheme);
        cr_expect_eq(client != NULL, !cases[i].old_only, "%s by %s, TLS 1.3", cases[i].host, cases[i].scheme);
        gemini_end(client);
    }
    cr_expect_eq(server_workers(&server, later), count);
    cr_expect_arr_eq(workers, later, count * sizeof *workers, "a worker did not survive");
}

Test(given, one_that_cannot_be_used_stops_no_other) {
    cr_expect(server_logged(&server, "identity.too-small.pem cannot be used: its RSA key"));
    struct gemini_client *client = meet("localhost", 0, NULL);
    cr_expect_not_null(client);
    gemini_end(client);
    shell("test ! -e %s/too-small.pem && test ! -e %s/p256.pem && test -e %s/localhost.pem", state, state, state);
}

static void fingerprint_of(const char *host, char fingerprint[static GEMINI_FINGERPRINT_SIZE]) {
    struct gemini_client *client = meet(host, 0, NULL);
    cr_assert_not_null(client);
    gemini_fingerprint(client, fingerprint);
    gemini_end(client);
}

Test(given, renewed_when_told_and_in_force_after_a_reload) {
    const char *const renew[] = {"renew", "--state", state, "localhost", NULL};
    const char *const announce[] = {"renew", "--new-key", "--announce", "--state", state, "localhost", NULL};
    const char *const move[] = {"renew", "--new-key", "--state", state, "localhost", NULL};
    const char *const *const steps[] = {renew, announce, move};
    char before[GEMINI_FINGERPRINT_SIZE], after[GEMINI_FINGERPRINT_SIZE], output[4096];
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        fingerprint_of("localhost", before);
        cr_assert_eq(run_program(output, sizeof output, steps[i]), 0, "%s", output);
        cr_expect_not_null(strstr(output, "TLSA 3 1 1"), "%s", output);
        fingerprint_of("localhost", after);
        cr_expect_str_eq(before, after, "nothing changes while it runs");
        kill(server.process, SIGHUP);
        cr_assert_not_null(server_told(&server, "READY=1", 20000));
        fingerprint_of("localhost", after);
        cr_expect_eq(strcmp(before, after) == 0, steps[i] == announce, "%s", output);
    }
}

Test(given, commands_used_wrongly) {
    static const char *const cases[][6] = {
        {"renew", NULL},
        {"renew", "a", "b", NULL},
        {"renew", "--announce", "a", NULL},
        {"renew", "--force", "a", NULL},
        {"fingerprint", "--new-key", NULL},
        {"fingerprint", "--state", NULL},
        {"keys", "a", NULL},
        {"keys", "--state=/tmp", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char output[4096];
        cr_expect_eq(run_program(output, sizeof output, cases[i]), 64, "case %zu: %s", i, output);
        cr_expect(output[0] != '\0' && strchr(output, '\n') == output + strlen(output) - 1, "one sentence: %s", output);
    }
}
