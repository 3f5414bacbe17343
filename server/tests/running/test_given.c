/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Identities that are given as credentials, and the commands about identities. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/x509v3.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/server.h"

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

/* Makes a certificate and a key with openssl, as an authority would. */
static void give(const char *host, const char *key, const char *names) {
    shell(
        "openssl req -x509 -newkey %s -nodes -days 90 -subj /CN=test -addext subjectAltName=%s -out %s/identity.%s.pem "
        "-keyout %s/identity.%s.key 2>/dev/null",
        key, names, given, host, given, host);
}

#define BOOKS                                                                                                          \
    "b\xc3\xbc"                                                                                                        \
    "cher.example"
#define GREETINGS                                                                                                      \
    "gr\xc3\xbc\xc3\x9f"                                                                                               \
    "e.example"

static void begin(void) {
    static const char *const hosts[] = {"p256",  "p384",     "ed25519", "rsa",     "a.wild",    "too-small",
                                        "ended", "nameless", BOOKS,     GREETINGS, "200:db8::1"};
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
    give("p384", "ec -pkeyopt ec_paramgen_curve:P-384", "DNS:p384");
    give("ed25519", "ed25519", "DNS:ed25519,DNS:*.wild");
    give("rsa", "rsa:2048", "DNS:rsa");
    give("too-small", "rsa:1024", "DNS:too-small");
    give("xn--bcher-kva.example", "ed25519", "DNS:xn--bcher-kva.example");
    give("200-db8--1", "ed25519", "IP:200:db8::1");
    give("ended", "ed25519", "DNS:ended");
    shell("cd %s && openssl req -x509 -key identity.ended.key -not_before 20200101000000Z -not_after 20200102000000Z "
          "-subj /CN=test -addext subjectAltName=DNS:ended -out identity.ended.pem",
          given);
    shell(
        "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=nameless -keyout identity.nameless.key "
        "-out identity.nameless.pem 2>/dev/null",
        given);
    setenv("CREDENTIALS_DIRECTORY", given, 1);
    server_start(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(given, .init = begin, .fini = end, .timeout = 90);

/* Completes a handshake with a capsule, with one signature scheme. Returns NULL if that fails. */
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
        {"p384", "ECDSA+SHA384", false},       {"p384", "ECDSA+SHA256", true},
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

static void fingerprint_of(const char *host, char fingerprint[static GEMINI_FINGERPRINT_SIZE]) {
    struct gemini_client *client = meet(host, 0, NULL);
    cr_assert_not_null(client);
    gemini_fingerprint(client, fingerprint);
    gemini_end(client);
}

/* Returns openssl's fingerprint of a given identity's file. */
static void fingerprint_given(const char *host, char fingerprint[static GEMINI_FINGERPRINT_SIZE]) {
    char command[256], line[256] = "";
    snprintf(command, sizeof command, "openssl x509 -in %s/identity.%s.pem -noout -fingerprint -sha256", given, host);
    FILE *pipe = popen(command, "r");
    cr_assert(pipe && fgets(line, sizeof line, pipe) && strchr(line, '='), "%s", command);
    pclose(pipe);
    snprintf(fingerprint, GEMINI_FINGERPRINT_SIZE, "%s", strchr(line, '=') + 1);
}

static void expect_given(const char *server_name, const char *file) {
    char shown[GEMINI_FINGERPRINT_SIZE], expected[GEMINI_FINGERPRINT_SIZE];
    fingerprint_of(server_name, shown);
    fingerprint_given(file, expected);
    cr_expect_str_eq(shown, expected, "%s does not show identity.%s.pem", server_name, file);
}

static void reload(void) {
    server_forget_told(&server);
    kill(server.process, SIGHUP);
    cr_assert_not_null(server_told(&server, "READY=1", 20000));
}

Test(given, identities_as_people_have_them) {
    expect_given("nameless", "nameless");
    cr_expect(server_logged(&server, "identity nameless: the certificate in identity.nameless.pem has no subject"));
    expect_given("ended", "ended");
    cr_expect(server_logged(&server, "identity ended: the certificate in identity.ended.pem expired on 2020-01-02"));
    expect_given("p384", "p384");
    expect_given("xn--bcher-kva.example", "xn--bcher-kva.example");
    expect_given("200:db8::1", "200-db8--1");
}

Test(given, an_international_name_gets_a_certificate_in_ascii) {
    struct gemini_way way = way_to(&server);
    struct gemini_client *client = meet("xn--gre-6ka8l.example", 0, NULL);
    cr_assert_not_null(client);
    X509 *certificate = SSL_get0_peer_certificate(client->session);
    cr_expect_eq(X509_check_host(certificate, "xn--gre-6ka8l.example", 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL),
                 1);
    cr_expect_eq(X509_check_host(certificate, GREETINGS, 0, 0, NULL), 0);
    gemini_end(client);
    shell("test -e %s/xn--gre-6ka8l.example.pem && ! ls %s | LC_ALL=C grep -q '[^ -~]'", state, state);
    way.server_name = "xn--gre-6ka8l.example";
    cr_expect_eq(ask_by(&way, "gemini://xn--gre-6ka8l.example:PORT/")->status, 20);
    cr_expect_eq(ask_by(&way, "gemini://gr%C3%BC%C3%9Fe.example:PORT/")->status, 20);
    /* The same capsule through a link in the other spelling has the same identity. */
    char before[GEMINI_FINGERPRINT_SIZE], after[GEMINI_FINGERPRINT_SIZE];
    fingerprint_of("xn--gre-6ka8l.example", before);
    shell("ln -s " GREETINGS " %s/content/xn--gre-6ka8l.example", server.folder);
    reload();
    fingerprint_of("xn--gre-6ka8l.example", after);
    cr_expect_str_eq(before, after);
}

/* An identity from an earlier version, whose file and certificate have the name of the folder, is kept. */
Test(given, one_made_under_an_international_name_goes_on) {
    char before[GEMINI_FINGERPRINT_SIZE], after[GEMINI_FINGERPRINT_SIZE], output[4096];
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    shell(
        "cd %s && rm xn--gre-6ka8l.example.pem && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
        "-days 9999 -utf8 -subj '/CN=" GREETINGS "' -addext 'subjectAltName=DNS:" GREETINGS
        "' -out c -keyout k 2>/dev/null"
        " && umask 77 && cat c k >" GREETINGS ".pem && rm c k",
        state);
    server_start(&server);
    fingerprint_of("xn--gre-6ka8l.example", before);
    shell("test \"$(openssl x509 -in %s/" GREETINGS ".pem -noout -fingerprint -sha256)\" = 'sha256 Fingerprint=%s' && "
          "test ! -e %s/xn--gre-6ka8l.example.pem",
          state, before, state);
    cr_expect(server_logged(&server, "contains a name with letters outside ASCII"));
    const char *const renew[] = {"renew", "--state", state, GREETINGS, NULL};
    cr_assert_eq(run_program(output, sizeof output, renew), 0, "%s", output);
    cr_expect_eq(strncmp(output, "xn--gre-6ka8l.example\n", sizeof "xn--gre-6ka8l.example"), 0, "%s", output);
    reload();
    fingerprint_of("xn--gre-6ka8l.example", after);
    cr_expect_str_neq(before, after);
    cr_expect(strstr(output, after), "%s", output);
}

Test(given, one_that_cannot_be_used_stops_no_other) {
    cr_expect(server_logged(&server, "identity.too-small.pem cannot be used: its RSA key"));
    struct gemini_client *client = meet("localhost", 0, NULL);
    cr_expect_not_null(client);
    gemini_end(client);
    shell("test ! -e %s/too-small.pem && test ! -e %s/p256.pem && test -e %s/localhost.pem", state, state, state);
}

#define UNRECOGNIZED_NAME 112 /* RFC 8446 section 6.2 */

static void expect_refused(const char *server_name) {
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        struct gemini_way way = way_to(&server);
        way.server_name = server_name;
        way.oldest_version = way.newest_version = versions[i];
        struct gemini_client *client = gemini_connect(&way);
        cr_assert_not_null(client);
        cr_expect_not(gemini_shake_hands(client), "%s got a certificate", server_name);
        cr_expect_eq(client->alert, UNRECOGNIZED_NAME, "%s: alert %d", server_name, client->alert);
        gemini_end(client);
    }
}

Test(given, never_the_certificate_of_another) {
    char own[GEMINI_FINGERPRINT_SIZE], shown[GEMINI_FINGERPRINT_SIZE];
    struct gemini_way way = way_to(&server);
    expect_refused("too-small");
    expect_refused("TOO-SMALL");
    /* A request over a connection with another server name, or with none, is not answered either. */
    cr_expect_eq(ask_by(&way, "gemini://too-small:PORT/")->status, 41);
    way.server_name = NULL;
    cr_expect_eq(ask_by(&way, "gemini://too-small:PORT/")->status, 41);
    /* A client that sends an unknown name gets the certificate of `localhost`, and the status says so. */
    fingerprint_of("localhost", own);
    fingerprint_of("unknown.example", shown);
    cr_expect_str_eq(own, shown);
    way.server_name = "unknown.example";
    cr_expect_eq(ask_by(&way, "gemini://unknown.example:PORT/")->status, 53);
    cr_expect_not_null(server_told(&server, "STATUS=1 host refused for want of a usable identity", 20000));
    cr_expect(server_logged(&server, "hosts without a usable identity: 1;"));
    /* Each reload logs the reason. */
    reload();
    reload();
    char *log = server_log(&server);
    size_t told = 0;
    for (const char *at = log; (at = strstr(at, "identity.too-small.pem cannot be used")); at++)
        told++;
    free(log);
    cr_expect_eq(told, 3, "told %zu times", told);
    /* After the file is corrected and a reload, the identity works. */
    shell("rm %s/identity.too-small.*", given);
    give("too-small", "ed25519", "DNS:too-small");
    reload();
    expect_given("too-small", "too-small");
    cr_expect_not_null(server_told(&server, "STATUS=Serving", 20000));
}

Test(given, nobody_is_shown_another_in_place_of_the_default) {
    server_put_text(&server, "default/index.gmi", "# Default\n");
    shell("echo nothing >%s/identity.default.pem", given);
    reload();
    expect_refused("default");
    expect_refused("unknown.example");
    expect_refused(NULL);
    expect_given("p256", "p256");
}

/* A client that connects to an address sends no server name (RFC 6066 section 3). */
Test(given, an_address_is_shown_its_own_without_a_server_name) {
    struct gemini_way way = way_to(&server);
    char localhost[GEMINI_FINGERPRINT_SIZE], shown[GEMINI_FINGERPRINT_SIZE];
    expect_given(NULL, "200-db8--1");
    way.server_name = NULL;
    cr_expect_eq(ask_by(&way, "gemini://[200:db8::1]:PORT/")->status, 20);
    fingerprint_of("localhost", localhost);
    fingerprint_of("unknown.example", shown);
    cr_expect_str_eq(shown, localhost, "a name that is not here is no address");
    /*
     * A second identity for an address is used only if the first is unusable. If both are, no other host's identity is
     * shown.
     */
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    server_put_text(&server, "200:db8::2/index.gmi", "# Given\n");
    give("200-db8--2", "ed25519", "IP:200:db8::2");
    server_start(&server);
    expect_given(NULL, "200-db8--1");
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    shell("echo nothing >%s/identity.200-db8--1.pem", given);
    server_start(&server);
    expect_given(NULL, "200-db8--2");
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    shell("echo nothing >%s/identity.200-db8--2.pem", given);
    server_start(&server);
    expect_refused(NULL);
    expect_given("p256", "p256");
    /* `default` serves clients that use an address. */
    server_put_text(&server, "default/index.gmi", "# Default\n");
    give("default", "ed25519", "DNS:default");
    reload();
    expect_given(NULL, "default");
}

Test(given, read_anew_at_a_reload) {
    char localhost[GEMINI_FINGERPRINT_SIZE], before[GEMINI_FINGERPRINT_SIZE], after[GEMINI_FINGERPRINT_SIZE];
    static const char request[] = "gemini://p256/\r\n";
    struct gemini_reply reply = {0};
    fingerprint_of("localhost", localhost);
    fingerprint_of("p256", before);
    /* A connection that has completed its handshake when the reload happens. */
    struct gemini_client *open = meet("p256", 0, NULL);
    cr_assert_not_null(open);
    give("p256", "ed25519", "DNS:p256");
    give("new", "ed25519", "DNS:new");
    server_put_text(&server, "new/index.gmi", "# New\n");
    fingerprint_of("p256", after);
    cr_expect_str_eq(before, after, "nothing changes while it runs");
    reload();
    expect_given("p256", "p256");
    expect_given("new", "new");
    fingerprint_of("p256", after);
    cr_expect_str_neq(before, after);
    cr_expect(gemini_send(open, request, sizeof request - 1));
    gemini_receive(open, &reply, 0);
    cr_expect_eq(reply.progress, GEMINI_CLOSE_NOTIFY, "a connection was lost");
    gemini_reply_end(&reply);
    gemini_end(open);
    /* An unusable or missing file does not replace a key that clients know. */
    shell("echo half >%s/identity.p256.pem; rm %s/identity.new.pem", given, given);
    reload();
    fingerprint_of("p256", before);
    cr_expect_str_eq(before, after);
    cr_expect(server_logged(&server, "the version read earlier stays in use"));
    cr_expect(server_logged(&server, "identity new: identity.new.pem is gone"));
    fingerprint_of("new", after);
    shell("test ! -e %s/new.pem", state);
    fingerprint_of("localhost", after);
    cr_expect_str_eq(localhost, after);
}

Test(given, exit_statuses_say_what_is_wrong) {
    char content[96], listen[32], output[4096];
    const char *arguments[] = {"serve", "--listen", listen, "--content", content, "--state", state, NULL};
    snprintf(listen, sizeof listen, "127.0.0.1:%u", free_port());
    snprintf(content, sizeof content, "%s/alone", server.folder);
    shell("mkdir -p %s/too-small", content);
    cr_expect_eq(run_program(output, sizeof output, arguments), 65, "%s", output);
    cr_expect(strstr(output, "identity.too-small.pem cannot be used"), "%s", output);
    /* Not even root can create a file there. */
    shell("mv %s/too-small %s/fresh", content, content);
    arguments[6] = "/proc";
    cr_expect_eq(run_program(output, sizeof output, arguments), 73, "%s", output);
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

/* ---- in a container: as any user, without a writable folder ---- */

#define SOMEBODY 1000650000 /* a number as engines choose it, which no user of this machine has */

/*
 * A process in this test's mount namespace cannot remove what is mounted there, so another process does it after the
 * test.
 */
static void remove_afterwards(void) {
    int ends[2];
    char byte;
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    if (fork() == 0) {
        close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        execlp("rm", "rm", "-rf", server.folder, NULL);
        _exit(127);
    }
    close(ends[0]);
}

/* Becomes an unknown user, with a read-only root file system and a read-only state folder. */
static void become_somebody(void) {
    if (geteuid() != 0)
        cr_skip_test("only root can become another user");
    remove_afterwards();
    if (unshare(CLONE_NEWNS) != 0)
        cr_skip_test("this machine forbids namespaces");
    shell("rm -f %s/*; chown -R %d:0 %s; chown root:root %s; chmod 0555 %s", state, SOMEBODY, server.folder, state,
          state);
    shell("mount --make-rprivate / && mount --bind %s %s && mount --bind %s %s && mount -o remount,bind,ro %s && "
          "mount -o remount,bind,ro /",
          server.folder, server.folder, state, state, state);
    cr_assert_lt(open("/written", O_WRONLY | O_CREAT, 0600), 0);
    cr_assert_eq(errno, EROFS, "the root is writable: this test sees nothing");
    umask(0);
    cr_assert_eq(setgroups(0, NULL), 0);
    cr_assert_eq(setresgid(0, 0, 0), 0);
    cr_assert_eq(setresuid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
}

Test(given, any_user_can_serve_them_without_a_place_to_write) {
    static const char *const hosts[] = {"p256", "p384", "ed25519", "rsa", "a.wild"};
    pid_t workers[WORKERS_MAX];
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    become_somebody();
    server_start(&server);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct gemini_way way = way_to(&server);
        char request[128];
        way.server_name = hosts[i];
        snprintf(request, sizeof request, "gemini://%s:PORT/", hosts[i]);
        cr_expect_eq(ask_by(&way, request)->status, 20, "%s", hosts[i]);
    }
    cr_expect_gt(server_workers(&server, workers), 0);
    /* A reload needs no writable folder either. */
    cr_expect_not_null(strstr(server_reload(&server), "READY=1"));
    struct gemini_way way = way_to(&server);
    way.server_name = "p256";
    cr_expect_eq(ask_by(&way, "gemini://p256:PORT/")->status, 20);
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
}
