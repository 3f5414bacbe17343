/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/random.h"
#include "keys/atomic_file.h"
#include "keys/identity_store.h"
#include "logged.h"
#include "pretended.h"
#include "shell.h"

static char base[] = "/tmp/vitrine-identity-store-XXXXXX";
static struct identity_store store = {.state = -1};

static void begin(void) {
    cr_assert_eq(random_open(), 0);
    cr_assert_not_null(mkdtemp(base));
    cr_assert_eq(chdir(base), 0);
    cr_assert_eq(mkdir("state", 0700) | mkdir("given", 0700), 0);
}

static void end(void) {
    identity_store_dispose(&store);
    shell("rm -rf %s", base);
}

TestSuite(identity_store, .init = begin, .fini = end);

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    cr_assert_eq(chmod(path, 0600), 0);
}

/* Writes an identity for a host to a file. */
static void put_identity(const char *path, const char *host) {
    char pem[IDENTITY_PEM_MAX];
    pem[identity_make(host, pem)] = '\0';
    put(path, pem);
}

/* Makes an identity with openssl: type of key, days, and names. The certificate is in NAME.pem, the key in NAME.key. */
static void order(const char *name, const char *key, int days, const char *names) {
    shell("openssl req -x509 -newkey %s -nodes -days %d -subj /CN=test -keyout %s.key -out %s.pem %s%s >errors 2>&1 || "
          "{ cat errors; exit 1; }",
          key, days, name, name, names ? "-addext subjectAltName=" : "", names ? names : "");
}

static void open_identity_store(void) {
    identity_store_dispose(&store);
    cr_assert_eq(identity_store_open(&store, "state", "given"), 0);
}

#define BEFORE 77 /* a generation of workers for which everything is provided */

static const struct identity *provide(const char *host) {
    bool unusable;
    const struct identity *identity = identity_store_provide(&store, host, &unusable);
    cr_expect(!identity || !unusable);
    if (identity)
        identity_store_serve(&store, identity->public.key_id, BEFORE);
    return identity;
}

static const struct identity_file *holder(const char *host) {
    const struct identity *identity = provide(host);
    for (size_t i = 0; i < store.count; i++) {
        if (identity == &store.list[i]->identity)
            return store.list[i];
    }
    return NULL;
}

static const char *file_for(const char *host) {
    const struct identity_file *held = holder(host);
    return held ? held->file : "none";
}

Test(identity_store, files_and_their_hosts) {
    static const struct {
        const char *file;
        bool given;
        const char *host; /* NULL: none */
    } cases[] = {
        {"a.example.pem", false, "a.example"},
        {"a.pem", false, "a"},
        {"identity.a.pem", true, "a"},
        {"identity_a.example.pem", true, "a.example"},
        {"identity.identity.a.pem", true, "identity.a"},
        {"A.Example.pem", false, "a.example"},
        {"b\xc3\xbc"
         "cher.example.pem",
         false, "xn--bcher-kva.example"},
        {"identity.b\xc3\xbc"
         "cher.example.pem",
         true, "xn--bcher-kva.example"},
        {"identity.xn--bcher-kva.example.pem", true, "xn--bcher-kva.example"},
        {"identity.200-db8--1.pem", true, "200:db8::1"},
        {"identity_200-DB8-0-0-0-0-0-1.pem", true, "200:db8::1"},
        {"identity.--1.pem", true, "::1"},
        {"identity.a-b.example.pem", true, "a-b.example"},
        {"200:db8::1.pem", false, "200:db8::1"},
        {"200-db8--1.pem", false, "200-db8--1"},
        {"b\xfc.pem", false, NULL},
        {"identity.a.pem", false, "identity.a"},
        {".pem", false, NULL},
        {"..pem", false, NULL},
        {".new", false, NULL},
        {"a.example.next", false, NULL},
        {"a.example", false, NULL},
        {"pem", false, NULL},
        {"a b.pem", false, NULL},
        {"identity.pem", true, NULL},
        {"identity..pem", true, NULL},
        {"identity.a.key", true, NULL},
        {"identity-a.pem", true, NULL},
        {"a.pem", true, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char host[HOSTNAME_MAX + 1];
        bool is = identity_file_host_of(cases[i].file, cases[i].given, host);
        cr_expect_eq(is, cases[i].host != NULL, "%s", cases[i].file);
        if (is && cases[i].host)
            cr_expect_str_eq(host, cases[i].host);
    }
    cr_expect_not(identity_file_is_host("a/b"));
    cr_expect_not(identity_file_is_host(""));
    cr_expect_not(identity_file_is_host(".."));
    cr_expect(identity_file_is_host("::1"));
    char host[252];
    memset(host, 'a', sizeof host);
    host[251] = '\0';
    cr_expect_not(identity_file_is_host(host), "251 bytes");
    host[250] = '\0';
    cr_expect(identity_file_is_host(host), "250 bytes");
}

/* The longest possible host name, in each file name that is made from it. */
Test(identity_store, the_longest_name) {
    char host[252], file[300], found[HOSTNAME_MAX + 1];
    for (size_t i = 0; i < 250; i++)
        host[i] = i % 50 == 49 && i < 249 ? '.' : 'a';
    host[250] = '\0';
    snprintf(file, sizeof file, "%s.pem", host);
    open_identity_store();
    bool unusable;
    const struct identity *made = identity_store_provide(&store, host, &unusable);
    cr_assert_not_null(made);
    cr_expect_str_eq(made->public.host, host);
    cr_assert(identity_file_host_of(file, false, found));
    cr_expect_str_eq(found, host);
    open_identity_store();
    cr_expect_not_null(identity_store_provide(&store, host, &unusable), "it is found again");
    cr_expect_eq(store.count, 1);
    host[250] = 'a', host[251] = '\0';
    log_limit(LOG_LEVEL_WARNING);
    logged_begin();
    cr_expect_null(identity_store_provide(&store, host, &unusable), "a byte too long");
    cr_expect_not_null(
        strstr(logged_end(), "the host name has 251 bytes; 250 at most, since a file is named after it"));
    log_limit(LOG_LEVEL_ERROR);
    cr_expect_eq(store.count, 1);
}

Test(identity_store, names_of_credentials) {
    static const char *const hosts[] = {"a.example", "200:db8::1", "::", "xn--bcher-kva.example", "127.0.0.1"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char file[IDENTITY_FILE_NAME_MAX + 1], host[HOSTNAME_MAX + 1];
        identity_file_credential(hosts[i], file);
        cr_expect_null(strchr(file, ':'), "no credential can have the name %s", file);
        cr_assert(identity_file_host_of(file, true, host), "%s", file);
        cr_expect_str_eq(host, hosts[i]);
    }
}

Test(identity_store, made_once) {
    uint8_t key[SIGNING_KEY_ID];
    open_identity_store();
    const struct identity *identity = provide("a.example");
    cr_assert_not_null(identity);
    memcpy(key, identity->public.key_id, sizeof key);
    cr_expect_eq(provide("a.example"), identity);
    open_identity_store();
    cr_expect_not_null(identity_store_find_key(&store, key, IDENTITY_STORE_FOUND),
                       "known before anybody asks for the host");
    cr_expect_arr_eq(provide("a.example")->public.key_id, key, sizeof key);
    cr_expect_null(provide("../a"));
    key[0] ^= 1;
    cr_expect_null(identity_store_find_key(&store, key, IDENTITY_STORE_FOUND));
}

Test(identity_store, whose_is_which) {
    put_identity("state/old.example.pem", "old.example");
    put_identity("state/both.example.pem", "both.example");
    put_identity("given/identity.both.example.pem", "both.example");
    put_identity("given/identity.wild.pem", "*.example");
    put_identity("given/identity.zwild.pem", "*.example");
    put_identity("given/identity_exact.pem", "x.example");
    put_identity("given/identity.default.pem", "whatever.test");
    put_identity("given/identity.wrong.test.pem", "right.test");
    put("given/other", "not ours");
    open_identity_store();
    static const struct {
        const char *host, *file;
    } cases[] = {
        {"both.example", "identity.both.example.pem"},
        {"old.example", "old.example.pem"},
        {"y.example", "identity.wild.pem"},
        {"x.example", "identity_exact.pem"},
        {"default", "identity.default.pem"},
        {"whatever.test", "identity.default.pem"},
        {"wrong.test", "none"},
        {"right.test", "identity.wrong.test.pem"},
        {"new.test", "new.test.pem"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_str_eq(file_for(cases[i].host), cases[i].file, "%s: %s", cases[i].host, file_for(cases[i].host));
    cr_expect_neq(access("state/wrong.test.pem", F_OK), 0, "none is made in place of a broken one");
}

Test(identity_store, given_kinds_of_keys) {
    static const struct {
        const char *name, *key;
        enum key_kind kind;
    } cases[] = {{"p256", "ec -pkeyopt ec_paramgen_curve:P-256", KEY_P256},
                 {"p384", "ec -pkeyopt ec_paramgen_curve:P-384", KEY_P384},
                 {"ed25519", "ed25519", KEY_ED25519},
                 {"rsa", "rsa:2048", KEY_RSA}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64], names[64];
        snprintf(name, sizeof name, "given/identity.%s", cases[i].name);
        snprintf(names, sizeof names, "DNS:%s", cases[i].name);
        order(name, cases[i].key, 90, names);
    }
    /* With the key first, and with a chain at the end. */
    shell("cat given/identity.rsa.key given/identity.rsa.pem given/identity.p256.pem >x && rm given/identity.rsa.* && "
          "mv x given/identity.rsa.pem");
    open_identity_store();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct identity *identity = provide(cases[i].name);
        cr_assert_not_null(identity, "%s", cases[i].name);
        cr_expect_eq(identity->public.kind, cases[i].kind);
        cr_expect_null(strstr(identity->public.chain, "PRIVATE"));
    }
    const char *chain = strstr(provide("rsa")->public.chain + 1, "BEGIN");
    cr_expect(chain && strstr(chain + 1, "BEGIN"), "the chain is kept");
}

Test(identity_store, what_cannot_be_used_is_not_replaced) {
    static const struct {
        const char *host, *key, *names;
        const char *reason;
    } cases[] = {
        {"small", "rsa:1024", "DNS:small", "2048"},
        {"curve", "ec -pkeyopt ec_paramgen_curve:P-521", "DNS:curve", "P-256"},
        {"mixed", "ec -pkeyopt ec_paramgen_curve:P-256", "DNS:mixed", "does not match"},
        {"keyless", "ec -pkeyopt ec_paramgen_curve:P-256", "DNS:keyless", "no private key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];
        snprintf(name, sizeof name, "given/identity.%s", cases[i].host);
        order(name, cases[i].key, 9, cases[i].names);
    }
    shell("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out given/identity.mixed.key 2>/dev/null; "
          "rm given/identity.keyless.key");
    put("given/identity.text.pem", "nothing");
    put_identity("state/open.pem", "open");
    put_identity("state/other.pem", "another");
    put("state/text.pem", "nothing");
    cr_assert_eq(chmod("state/open.pem", 0640), 0);
    open_identity_store();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_null(provide(cases[i].host), "%s", cases[i].host);
        for (size_t at = 0; at < store.count; at++) {
            if (strcmp(store.list[at]->host, cases[i].host) == 0)
                cr_expect(store.list[at]->problem && strstr(store.list[at]->problem, cases[i].reason), "%s: %s",
                          cases[i].host, store.list[at]->problem);
        }
    }
    bool unusable;
    cr_expect_null(identity_store_provide(&store, "text", &unusable));
    cr_expect(unusable, "there is one");
    cr_expect_null(identity_store_provide(&store, "no/host", &unusable));
    cr_expect_not(unusable, "there is none");
    unusable = false;
    cr_expect_null(provide("text"));
    cr_expect_null(provide("open"));
    cr_expect_null(provide("other"));
    cr_expect_not_null(provide("fine"), "the others still run");
    cr_assert_eq(chmod("state/open.pem", 0600), 0);
    cr_expect_not_null(provide("open"), "read again when it was put right");
}

Test(identity_store, a_new_file_is_taken_up_and_the_old_key_still_signs) {
    uint8_t first[SIGNING_KEY_ID], second[SIGNING_KEY_ID];
    open_identity_store();
    memcpy(first, provide("a")->public.key_id, sizeof first);
    identity_store_serve(&store, first, 1);
    put_identity("x", "a");
    cr_assert_eq(rename("x", "state/a.pem"), 0);
    memcpy(second, provide("a")->public.key_id, sizeof second);
    identity_store_serve(&store, second, 2);
    cr_expect_arr_neq(first, second, sizeof first);
    cr_expect_not_null(identity_store_find_key(&store, first, 1));
    cr_expect_null(identity_store_find_key(&store, first, 2), "for those alone who serve it");
    cr_expect_null(identity_store_find_key(&store, second, 0));
    identity_store_serve(&store, first, 2);
    cr_expect_null(identity_store_find_key(&store, first, 2), "it has had its time");
    put_identity("x", "a");
    cr_assert_eq(rename("x", "state/a.pem"), 0);
    cr_assert_not_null(provide("a"));
    cr_expect_null(identity_store_find_key(&store, first, BEFORE), "only the last one before is kept");
    cr_expect_not_null(identity_store_find_key(&store, second, 2));
}

Test(identity_store, folders_that_are_missing) {
    cr_expect_eq(identity_store_open(&store, "nowhere", NULL), EX_NOINPUT);
    cr_expect_eq(identity_store_open(&store, "state", "nowhere"), EX_OK,
                 "systemd 254 names a folder that is not there");
    identity_store_dispose(&store);
    cr_expect_eq(identity_store_open(&store, "state", "/dev/null"), EX_NOINPUT);
    cr_expect_eq(identity_store_open(&store, "/dev/null", NULL), EX_NOINPUT, "no folder");
    cr_expect_eq(identity_store_open(&store, "state", NULL), EX_OK);
}

Test(identity_store, identities_as_people_have_them) {
    static const char *const hosts[] = {"nameless", "ended", "sec1", "pkcs1", "crlf", "text", "former"};
    order("given/identity.nameless", "ec -pkeyopt ec_paramgen_curve:P-256", 9, NULL);
    shell("cd given; openssl req -x509 -newkey rsa:2048 -nodes -not_before 20200101000000Z -not_after 20200102000000Z "
          "-subj /CN=t -addext subjectAltName=DNS:ended -keyout identity.ended.key -out identity.ended.pem 2>errors || "
          "{ cat errors; exit 1; }; rm errors");
    /* A key as `openssl ecparam` writes it, with its parameters first; and one from `openssl genrsa`. */
    shell("openssl ecparam -name secp384r1 -genkey -out k && grep -q 'EC PARAMETERS' k && "
          "openssl req -x509 -new -key k -subj /CN=sec1 -out c && cat k c >given/identity.sec1.pem && "
          "openssl genrsa -traditional -out k 3072 2>errors && grep -q 'RSA PRIVATE' k && "
          "openssl req -x509 -new -key k -subj /CN=pkcs1 -out c && cat c k >given/identity.pkcs1.pem");
    put_identity("x", "crlf");
    shell("sed 's/$/\\r/' x >given/identity.crlf.pem");
    put_identity("x", "text");
    shell("{ printf '\\357\\273\\277'; openssl x509 -in x -text; openssl pkey -in x; } >given/identity.text.pem");
    /* X.509 version 1, as `openssl x509 -req` makes it. */
    shell("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k 2>errors && "
          "openssl req -new -key k -subj /CN=former -out r && openssl x509 -req -in r -signkey k -out c 2>errors && "
          "cat c k >given/identity.former.pem");
    open_identity_store();
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char file[64];
        snprintf(file, sizeof file, "identity.%s.pem", hosts[i]);
        cr_expect_str_eq(file_for(hosts[i]), file, "%s: %s", hosts[i], holder(hosts[i]) ? "" : "cannot be used");
    }
    cr_expect_str_eq(file_for("t"), "t.pem", "a common name is no name of a host");
}

#define BOOKS                                                                                                          \
    "b\xc3\xbc"                                                                                                        \
    "cher.example"

Test(identity_store, one_made_under_an_international_name_goes_on) {
    uint8_t first[SIGNING_KEY_ID];
    put_identity("state/" BOOKS ".pem", BOOKS);
    open_identity_store();
    cr_expect_str_eq(file_for("xn--bcher-kva.example"), BOOKS ".pem");
    memcpy(first, provide("xn--bcher-kva.example")->public.key_id, sizeof first);
    cr_expect_str_eq(provide("xn--bcher-kva.example")->public.host, "xn--bcher-kva.example");
    cr_expect(holder("xn--bcher-kva.example")->has_unicode);
    cr_expect_neq(access("state/xn--bcher-kva.example.pem", F_OK), 0, "no other one is made");
    /* If both exist, clients know the one that TLS found, which was never that of the other spelling. */
    put_identity("state/xn--bcher-kva.example.pem", "xn--bcher-kva.example");
    cr_expect_str_eq(file_for("xn--bcher-kva.example"), "xn--bcher-kva.example.pem");
    cr_expect_not_null(identity_store_find_key(&store, first, BEFORE), "it still signs for workers of before");
    open_identity_store();
    cr_expect_str_eq(file_for("xn--bcher-kva.example"), "xn--bcher-kva.example.pem");
    cr_expect_null(identity_store_find_key(&store, first, BEFORE));
}

/* As Kubernetes lays out a secret: each file is a link through ..data, which is a link to a folder. */
Test(identity_store, links_are_followed_among_the_given_alone) {
    put_identity("outside", "out.example");
    put_identity("x", "in.example");
    shell(
        "cd given && mkdir ..2026_11_25 && mv ../x ..2026_11_25/identity.in.example.pem && ln -s ..2026_11_25 ..data "
        "&& "
        "ln -s ..data/identity.in.example.pem identity.in.example.pem && ln -s ../outside identity.out.example.pem && "
        "ln -s identity.loop.example.pem identity.loop.example.pem && ln -s %s/outside identity.abs.example.pem",
        base);
    put_identity("state/target", "link.example");
    shell("ln -s target state/link.example.pem");
    open_identity_store();
    cr_expect_str_eq(file_for("in.example"), "identity.in.example.pem");
    cr_expect_str_eq(file_for("out.example"), "none");
    cr_expect_str_eq(file_for("abs.example"), "none");
    cr_expect_str_eq(file_for("loop.example"), "none");
    cr_expect_str_eq(file_for("link.example"), "none");
    /* The secret is replaced: ..data points to another folder. */
    uint8_t first[SIGNING_KEY_ID];
    memcpy(first, provide("in.example")->public.key_id, sizeof first);
    put_identity("x", "in.example");
    shell("cd given && mkdir ..2026_11_26 && mv ../x ..2026_11_26/identity.in.example.pem && ln -sfn ..2026_11_26 "
          "..data");
    cr_expect_arr_eq(provide("in.example")->public.key_id, first, sizeof first, "not before it is asked for");
    identity_store_refresh(&store);
    cr_expect_arr_neq(provide("in.example")->public.key_id, first, sizeof first);
    cr_expect_not_null(identity_store_find_key(&store, first, BEFORE), "workers of before still need it");
}

Test(identity_store, given_ones_are_read_anew) {
    uint8_t first[SIGNING_KEY_ID], made[SIGNING_KEY_ID];
    put_identity("given/identity.a.pem", "a");
    put("given/identity.broken.pem", "nothing");
    open_identity_store();
    memcpy(first, provide("a")->public.key_id, sizeof first);
    memcpy(made, provide("b")->public.key_id, sizeof made);
    cr_expect_null(provide("broken"));
    identity_store_refresh(&store);
    cr_expect_arr_eq(provide("a")->public.key_id, first, sizeof first);
    cr_expect_str_eq(file_for("b"), "b.pem");

    put("given/identity.a.pem", "half of a fi");
    put_identity("given/identity.b.pem", "b");
    put_identity("given/identity.broken.pem", "broken");
    identity_store_refresh(&store);
    cr_assert_not_null(provide("a"), "what cannot be used takes nobody's place");
    cr_expect_arr_eq(provide("a")->public.key_id, first, sizeof first);
    cr_expect_str_eq(file_for("b"), "identity.b.pem", "a new one counts");
    cr_expect_not_null(identity_store_find_key(&store, made, BEFORE));
    cr_expect_str_eq(file_for("broken"), "identity.broken.pem", "it was put right");

    cr_assert_eq(unlink("given/identity.a.pem"), 0);
    identity_store_refresh(&store);
    cr_expect_arr_eq(provide("a")->public.key_id, first, sizeof first, "what is gone stays in use");
    shell("rm -r given");
    identity_store_refresh(&store);
    cr_expect_arr_eq(provide("a")->public.key_id, first, sizeof first);
    cr_expect_str_eq(file_for("b"), "identity.b.pem");

    shell("mkdir given");
    put_identity("given/identity.a.pem", "a");
    identity_store_refresh(&store);
    cr_expect_arr_neq(provide("a")->public.key_id, first, sizeof first);
    cr_expect_not_null(identity_store_find_key(&store, first, BEFORE));

    /* Only the key changes, in its separate file. */
    put_identity("x", "c");
    shell("openssl pkey -in x -out given/identity.c.key && openssl x509 -in x -out given/identity.c.pem");
    identity_store_refresh(&store);
    cr_expect_str_eq(file_for("c"), "identity.c.pem");
    put_identity("x", "c");
    shell("openssl x509 -in x -out given/identity.c.pem");
    identity_store_refresh(&store);
    cr_expect_str_eq(file_for("c"), "identity.c.pem", "key and certificate do not fit: as it was");
    memcpy(first, provide("c")->public.key_id, sizeof first);
    shell("openssl pkey -in x -out given/identity.c.key");
    identity_store_refresh(&store);
    cr_expect_arr_neq(provide("c")->public.key_id, first, sizeof first);
}

/* ---- log messages ---- */

static const char *told_by_providing(const char *host) {
    logged_begin();
    provide(host);
    return logged_end();
}

static const char *told_by_refreshing(void) {
    logged_begin();
    identity_store_refresh(&store);
    return logged_end();
}

/* The approaching end of a certificate is logged once, and not again at each reload. */
Test(identity_store, an_end_is_told_once) {
    order("given/identity.near", "ed25519", 20, "DNS:near");
    order("given/identity.nearer", "ed25519", 3, "DNS:nearer");
    order("given/identity.far", "ed25519", 300, "DNS:far");
    shell("rm errors");
    open_identity_store();
    const char *text = told_by_providing("near");
    cr_expect_eq(logged_count(text, "identity near: the certificate in identity.near.pem expires on "), 1, "%s", text);
    cr_expect(strstr(text, ", in 19 days") || strstr(text, ", in 20 days"), "%s", text);
    text = told_by_providing("nearer");
    cr_expect_eq(logged_count(text, " expires on "), 1, "%s", text);
    text = told_by_providing("far");
    cr_expect_eq(logged_count(text, " expires on "), 0, "%s", text);
    for (const char *const *host = (const char *const[]){"near", "nearer", "far", NULL}; *host; host++) {
        text = told_by_providing(*host);
        cr_expect_eq(logged_count(text, " expires on "), 0, "it is told again: %s", text);
    }
    logged_begin();
    identity_store_warn(&store);
    cr_expect_str_eq(logged_end(), "", "a day later, and nothing new");
}

/*
 * Once a day, all served identities are checked; here, the first check is that one. The number of days is exact to the
 * second, and an expired certificate is logged each day.
 */
Test(identity_store, how_many_days_are_left) {
    order("given/identity.near", "ed25519", 100, "DNS:near");
    shell("rm errors");
    open_identity_store();
    const struct identity_file *held = holder("near");
    cr_assert_not_null(held);
    time_t ends = held->ends;
    char date[32];
    strftime(date, sizeof date, " on %Y-%m-%d", gmtime(&ends));
    static const struct {
        time_t left;
        const char *told;
    } cases[] = {{61 * 86400, NULL},           {60 * 86400, " expires on "}, {60 * 86400 - 1, NULL},
                 {30 * 86400, ", in 30 days"}, {7 * 86400, ", in 7 days"},   {0, " expired on "},
                 {-86400, " expired on "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pretended_time = ends - cases[i].left;
        logged_begin();
        identity_store_warn(&store);
        const char *text = logged_end();
        pretended_time = 0;
        cr_expect(cases[i].told ? strstr(text, cases[i].told) != NULL : text[0] == '\0', "case %zu: %s", i, text);
        cr_expect(!cases[i].told || strstr(text, date), "not on %s: %s", date, text);
    }
}

/* A key in a separate file is checked for changes like its certificate. */
Test(identity_store, what_has_not_changed_is_not_read_anew) {
    order("given/identity.near", "ed25519", 300, "DNS:near");
    shell("rm errors");
    open_identity_store();
    const struct identity_file *held = holder("near");
    cr_assert_not_null(held);
    identity_store_refresh(&store);
    cr_expect_eq(holder("near"), held);
    shell("touch -d @1000000000 given/identity.near.key");
    identity_store_refresh(&store);
    cr_assert_not_null(holder("near"));
    cr_expect_eq(holder("near")->about_key.modified.tv_sec, 1000000000);
}

/* What clients may reject is logged once. */
Test(identity_store, what_clients_may_refuse_is_told_once) {
    order("given/identity.bare", "ed25519", 300, NULL);
    shell("rm errors");
    open_identity_store();
    const char *text = told_by_providing("bare");
    cr_expect_eq(logged_count(text, "has no subject alternative name"), 1, "%s", text);
    cr_expect_eq(logged_count(text, "is not valid before"), 0, "%s", text);
    text = told_by_providing("bare");
    cr_expect_str_eq(text, "");
    time_t begins = holder("bare")->begins;
    for (time_t early = 0; early <= 1; early++) {
        pretended_time = begins - early;
        open_identity_store();
        text = told_by_providing("bare");
        pretended_time = 0;
        cr_expect_eq(logged_count(text, "is not valid before"), early, "%s", text);
    }
}

Test(identity_store, what_is_served_is_looked_at_daily) {
    order("given/identity.near", "ed25519", 20, "DNS:near");
    order("given/identity.unused", "ed25519", 20, "DNS:unused");
    shell("rm errors");
    open_identity_store();
    provide("near");
    for (size_t i = 0; i < store.count; i++)
        store.list[i]->warned = 0;
    logged_begin();
    identity_store_warn(&store);
    const char *text = logged_end();
    cr_expect_eq(logged_count(text, "identity near: "), 1, "%s", text);
    cr_expect_null(strstr(text, "unused"), "%s", text);
}

Test(identity_store, words_about_credentials) {
    put_identity("given/identity.a.pem", "a");
    put("given/identity-b.pem", "x");
    put("given/identity.c.key", "x");
    put("given/other", "x");
    logged_begin();
    open_identity_store();
    const char *text = logged_end();
    cr_expect_eq(logged_count(text, "\n"), 1, "%s", text);
    cr_expect(strstr(text, "identity-b.pem") && strstr(text, "its name must be identity.HOST.pem or identity.HOST.key"),
              "%s", text);
    text = told_by_refreshing();
    cr_expect_null(strstr(text, "identity a"), "what has not changed is no news: %s", text);
    put_identity("given/identity.a.pem", "a");
    text = told_by_refreshing();
    cr_expect_eq(logged_count(text, "identity a: identity.a.pem reloaded\n"), 1, "%s", text);
    put("given/identity.a.pem", "broken");
    text = told_by_refreshing();
    cr_expect_eq(logged_count(text, "cannot be used"), 1, "%s", text);
    cr_expect_not_null(strstr(text, "the version read earlier stays in use"), "%s", text);
    cr_expect_null(strstr(text, " reloaded"), "%s", text);
    cr_assert_eq(unlink("given/identity.a.pem"), 0);
    text = told_by_refreshing();
    cr_expect_eq(logged_count(text, "identity a: identity.a.pem is gone"), 1, "%s", text);
    shell("rm -r given");
    text = told_by_refreshing();
    cr_expect_eq(logged_count(text, "identity.a.pem is gone"), 1, "the folder is gone, too: %s", text);
    put("given", "a file");
    text = told_by_refreshing();
    cr_expect_not_null(strstr(text, "identities read from it stay in use"), "%s", text);
    cr_expect_null(strstr(text, "is gone"), "%s", text);
    cr_expect_not_null(provide("a"));
}

/* What an owner reads about several identities for a host, or about an unusable one. */
Test(identity_store, words_about_what_is_chosen) {
    put_identity("state/both.pem", "both");
    put_identity("given/identity.both.pem", "both");
    put_identity("state/kept.pem", "kept");
    put_identity("given/identity.other.pem", "kept");
    put_identity("state/200:db8::1.pem", "200:db8::1");
    put_identity("given/identity.address.pem", "200:db8::1");
    put_identity("given/identity.wide.pem", "*.wide");
    put("given/identity.text.pem", "nothing");
    open_identity_store();
    static const struct {
        const char *host, *told;
    } cases[] = {
        {"both", "using identity.both.pem; the identity made earlier (both.pem)"},
        {"kept",
         "made earlier (kept.pem), although identity.other.pem is for this host too; to use that one, rename it to "
         "identity.kept.pem\n"},
        {"200:db8::1", "rename it to identity.200-db8--1.pem\n"},
        {"a.wide", "identity a.wide: using identity.wide.pem, which is for this host too\n"},
        {"new", "identity new: made"},
        {"no/host", "refused a request for an identity"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = told_by_providing(cases[i].host);
        cr_expect(strstr(text, cases[i].told), "%s: %s", cases[i].host, text);
        cr_expect_eq(logged_count(text, "\n"), 1, "%s: %s", cases[i].host, text);
    }
    /* The reason why one is unusable is logged each time, except right after the reading that logged it. */
    cr_expect_str_eq(told_by_providing("text"), "");
    cr_expect_eq(logged_count(told_by_providing("text"), "identity text: credential identity.text.pem cannot be used"),
                 1);
    put("given/identity.text.pem", "nothing again");
    cr_expect_eq(logged_count(told_by_refreshing(), "cannot be used"), 1);
    cr_expect_eq(logged_count(told_by_providing("text"), "cannot be used"), 0);
    cr_expect_eq(logged_count(told_by_providing("text"), "cannot be used"), 1);
    logged_begin();
    cr_expect_eq(identity_store_open(&(struct identity_store){.state = -1}, "state", "/dev/null"), EX_NOINPUT);
    cr_expect_eq(logged_count(logged_end(), "credentials folder /dev/null: Not a directory"), 1);
}

/* Only those names in a certificate matter that a capsule can have. */
Test(identity_store, names_of_other_kinds) {
    order("given/identity.mixed", "ed25519", 300,
          "email:a@mixed,DNS:mixed,URI:gemini://mixed/,IP:192.0.2.1,RID:1.2.3,IP:::1,DNS:Mixed.Example");
    shell("rm errors");
    open_identity_store();
    const struct identity_file *held = holder("mixed");
    cr_assert_not_null(held);
    cr_expect_str_eq(held->names, "mixed.example ::1 192.0.2.1 mixed ", "in whatever order they are kept");
}

/* A reload reopens the folder of given identities, so it must not stay open after a start either. */
Test(identity_store, the_folder_of_credentials_is_closed) {
    int before = dup(STDERR_FILENO);
    close(before);
    open_identity_store();
    int after = dup(STDERR_FILENO);
    close(after);
    cr_expect_eq(store.state, before);
    cr_expect_eq(after, before + 1, "more than the state folder is open");
}

/* Descriptor 0 works like all others. */
Test(identity_store, without_a_standard_input) {
    close(STDIN_FILENO);
    put_identity("given/identity.a.pem", "a");
    open_identity_store();
    cr_expect_eq(store.state, 0);
    cr_expect_not_null(provide("b"));
    identity_store_dispose(&store);
    cr_expect_lt(fcntl(0, F_GETFD), 0, "it is closed");
    /* Now the folder of credentials has descriptor 0. */
    cr_assert_eq(identity_store_open(&store, "state", NULL), 0);
    store.credentials = "given";
    store.state = fcntl(0, F_DUPFD_CLOEXEC, 5);
    close(0);
    identity_store_refresh(&store);
    cr_expect_lt(fcntl(0, F_GETFD), 0, "it was read and closed");
    cr_expect_str_eq(file_for("a"), "identity.a.pem");
}

/* ---- many new hosts ---- */

static unsigned files(const char *pattern) {
    char command[128];
    unsigned count = 0;
    snprintf(command, sizeof command, "find state -name '%s' | wc -l", pattern);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    cr_assert_eq(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    return count;
}

Test(identity_store, many_new_hosts_are_put_in_place_at_once) {
    char host[32];
    put_identity("given/identity.given.pem", "given");
    open_identity_store();
    cr_assert_not_null(provide("old"));
    identity_store_prepare(&store, "old");
    identity_store_prepare(&store, "given");
    identity_store_prepare(&store, "not/a/host");
    cr_expect_eq(files(".new*"), 0, "these need none");
    for (unsigned i = 0; i < 20; i++) {
        snprintf(host, sizeof host, "host%u.example", i);
        identity_store_prepare(&store, host);
    }
    cr_expect_eq(files(".new*"), 20);
    cr_expect_eq(files("host*"), 0, "not before it is on disk");
    cr_assert_not_null(provide("old"));
    cr_expect_eq(files(".new*"), 0);
    cr_expect_eq(files("host*.pem"), 20);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(host, sizeof host, "host%u.example", i);
        cr_assert_not_null(provide(host));
        cr_expect_eq(identity_file_match(holder(host), host), CERTIFICATE_EXACT);
    }
    cr_expect_eq(files("*.pem"), 21, "none was made twice");
}

Test(identity_store, one_that_another_made_meanwhile_stays) {
    open_identity_store();
    identity_store_prepare(&store, "a");
    put_identity("x", "a");
    struct identity made;
    char *pem = NULL;
    int folder = open(".", O_RDONLY | O_DIRECTORY);
    cr_assert_gt(atomic_file_read(folder, "x", &pem), 0);
    cr_assert_null(identity_load(&made, "a", pem, NULL));
    cr_assert_eq(rename("x", "state/a.pem"), 0);
    const struct identity *found = provide("a");
    cr_assert_not_null(found);
    cr_expect_arr_eq(found->public.key_id, made.public.key_id, SIGNING_KEY_ID);
    cr_expect_eq(files(".new*"), 0);
    identity_dispose(&made);
    free(pem);
    close(folder);
}

Test(identity_store, what_an_interrupted_start_left_is_removed) {
    open_identity_store();
    identity_store_prepare(&store, "a");
    cr_expect_eq(files(".new*"), 1);
    shell(": >state/.newer; : >state/.new");
    identity_store_dispose(&store);
    cr_expect_eq(files(".new*"), 2, "a stop drops what it did not put in place");
    shell(": >state/.new0; : >state/.new4294967295");
    open_identity_store();
    cr_expect_eq(files(".new[0-9]*"), 0);
    cr_expect_eq(files(".newer"), 1, "somebody else's");
    cr_expect_eq(files(".new"), 1, "may be in use by vitrine renew");
    cr_expect_not_null(provide("a"));
}

/* A process that is being killed may continue for a moment. */
Test(identity_store, two_processes_do_not_take_each_others_files) {
    static struct identity_store other;
    open_identity_store();
    cr_assert_eq(identity_store_open(&other, "state", "given"), 0);
    for (unsigned i = 0; i < 10; i++) {
        char host[32];
        snprintf(host, sizeof host, "mine%u.example", i);
        identity_store_prepare(&store, host);
        snprintf(host, sizeof host, "other%u.example", i);
        identity_store_prepare(&other, host);
    }
    cr_expect_eq(files(".new*"), 20);
    cr_assert_not_null(provide("mine0.example"));
    cr_expect_not_null(provide("mine9.example"));
    cr_expect_eq(files("other*"), 0);
    cr_expect_eq(files(".new*"), 10);
    identity_store_dispose(&other);
}

Test(identity_store, what_cannot_be_prepared_is_made_when_it_is_asked_for) {
    open_identity_store();
    shell("chattr +i state 2>/dev/null || rmdir state");
    identity_store_prepare(&store, "a");
    cr_expect_eq(store.prepared_count, 0);
    shell("chattr -i state 2>/dev/null || mkdir -m 700 state");
    open_identity_store();
    cr_expect_not_null(provide("a"));
}
