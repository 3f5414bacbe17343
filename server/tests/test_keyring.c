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
#include <unistd.h>

#include "../keyring.h"
#include "../random.h"

static char base[] = "/tmp/vitrine-keyring-XXXXXX";
static struct keyring keyring = {.state = -1};

static void shell(const char *format, ...) {
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void begin(void) {
    cr_assert(random_open());
    cr_assert_not_null(mkdtemp(base));
    cr_assert_eq(chdir(base), 0);
    cr_assert_eq(mkdir("state", 0700) | mkdir("given", 0700), 0);
}

static void end(void) {
    keyring_dispose(&keyring);
    shell("rm -rf %s", base);
}

TestSuite(keyring, .init = begin, .fini = end);

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    cr_assert_eq(chmod(path, 0600), 0);
}

/* An identity for a host, in a file. */
static void put_identity(const char *path, const char *host) {
    char pem[IDENTITY_PEM_MAX];
    pem[identity_make(host, pem)] = '\0';
    put(path, pem);
}

/* One that openssl makes: its kind of key, days, and names. Certificate to NAME.pem, key to NAME.key. */
static void order(const char *name, const char *key, int days, const char *names) {
    shell("openssl req -x509 -newkey %s -nodes -days %d -subj /CN=test -keyout %s.key -out %s.pem %s%s >errors 2>&1 || "
          "{ cat errors; exit 1; }",
          key, days, name, name, names ? "-addext subjectAltName=" : "", names ? names : "");
}

static void open_keyring(void) {
    keyring_dispose(&keyring);
    cr_assert_eq(keyring_open(&keyring, "state", "given"), 0);
}

static const struct holding *holder(const char *host) {
    const struct identity *identity = keyring_provide(&keyring, host);
    for (size_t i = 0; i < keyring.count; i++) {
        if (identity == &keyring.list[i]->identity)
            return keyring.list[i];
    }
    return NULL;
}

static const char *file_for(const char *host) {
    const struct holding *holding = holder(host);
    return holding ? holding->file : "none";
}

Test(keyring, files_and_their_hosts) {
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
        char host[CERTIFICATE_HOST_MAX + 1];
        bool is = holding_host_of(cases[i].file, cases[i].given, host);
        cr_expect_eq(is, cases[i].host != NULL, "%s", cases[i].file);
        if (is && cases[i].host)
            cr_expect_str_eq(host, cases[i].host);
    }
    cr_expect_not(holding_is_host("a/b"));
    cr_expect_not(holding_is_host(""));
    cr_expect_not(holding_is_host(".."));
    cr_expect(holding_is_host("::1"));
}

Test(keyring, made_once) {
    uint8_t key[SIGNING_KEY_NAME];
    open_keyring();
    const struct identity *identity = keyring_provide(&keyring, "a.example");
    cr_assert_not_null(identity);
    memcpy(key, identity->public.key, sizeof key);
    cr_expect_eq(keyring_provide(&keyring, "a.example"), identity);
    open_keyring();
    cr_expect_not_null(keyring_find_key(&keyring, key), "known before anybody asks for the host");
    cr_expect_arr_eq(keyring_provide(&keyring, "a.example")->public.key, key, sizeof key);
    cr_expect_null(keyring_provide(&keyring, "../a"));
    key[0] ^= 1;
    cr_expect_null(keyring_find_key(&keyring, key));
}

Test(keyring, whose_is_which) {
    put_identity("state/old.example.pem", "old.example");
    put_identity("state/both.example.pem", "both.example");
    put_identity("given/identity.both.example.pem", "both.example");
    put_identity("given/identity.wild.pem", "*.example");
    put_identity("given/identity.zwild.pem", "*.example");
    put_identity("given/identity_exact.pem", "x.example");
    put_identity("given/identity.default.pem", "whatever.test");
    put_identity("given/identity.wrong.test.pem", "right.test");
    put("given/other", "not ours");
    open_keyring();
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

Test(keyring, given_kinds_of_keys) {
    static const struct {
        const char *name, *key;
        enum key_kind kind;
    } cases[] = {{"p256", "ec -pkeyopt ec_paramgen_curve:P-256", KEY_P256},
                 {"ed25519", "ed25519", KEY_ED25519},
                 {"rsa", "rsa:2048", KEY_RSA}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64], names[64];
        snprintf(name, sizeof name, "given/identity.%s", cases[i].name);
        snprintf(names, sizeof names, "DNS:%s", cases[i].name);
        order(name, cases[i].key, 90, names);
    }
    /* With the key in front, and with a chain behind. */
    shell("cat given/identity.rsa.key given/identity.rsa.pem given/identity.p256.pem >x && rm given/identity.rsa.* && "
          "mv x given/identity.rsa.pem");
    open_keyring();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct identity *identity = keyring_provide(&keyring, cases[i].name);
        cr_assert_not_null(identity, "%s", cases[i].name);
        cr_expect_eq(identity->public.kind, cases[i].kind);
        cr_expect_null(strstr(identity->public.chain, "PRIVATE"));
    }
    const char *chain = strstr(keyring_provide(&keyring, "rsa")->public.chain + 1, "BEGIN");
    cr_expect(chain && strstr(chain + 1, "BEGIN"), "the chain is kept");
}

Test(keyring, what_cannot_be_used_is_not_replaced) {
    static const struct {
        const char *host, *key, *names;
        int days;
        const char *reason;
    } cases[] = {
        {"small", "rsa:1024", "DNS:small", 9, "2048"},
        {"curve", "ec -pkeyopt ec_paramgen_curve:P-384", "DNS:curve", 9, "P-256"},
        {"ended", "ec -pkeyopt ec_paramgen_curve:P-256", "DNS:ended", -1, "end"},
        {"nameless", "ec -pkeyopt ec_paramgen_curve:P-256", NULL, 9, "alternative name"},
        {"mixed", "ec -pkeyopt ec_paramgen_curve:P-256", "DNS:mixed", 9, "belong"},
        {"keyless", "ec -pkeyopt ec_paramgen_curve:P-256", "DNS:keyless", 9, "no private key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];
        snprintf(name, sizeof name, "given/identity.%s", cases[i].host);
        order(name, cases[i].key, cases[i].days < 0 ? 1 : cases[i].days, cases[i].names);
        if (cases[i].days < 0) /* openssl of today refuses days below 0 in this command */
            shell("openssl x509 -in %s.pem -signkey %s.key -days 0 -copy_extensions copyall -out x 2>/dev/null || "
                  "openssl req -x509 -key %s.key -not_before 20200101000000Z -not_after 20200102000000Z -subj /CN=t "
                  "-addext subjectAltName=DNS:ended -out x; mv x %s.pem",
                  name, name, name, name);
    }
    shell("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out given/identity.mixed.key 2>/dev/null; "
          "rm given/identity.keyless.key; sleep 1.1");
    put("given/identity.text.pem", "nothing");
    put_identity("state/open.pem", "open");
    put_identity("state/other.pem", "another");
    put("state/text.pem", "nothing");
    cr_assert_eq(chmod("state/open.pem", 0640), 0);
    open_keyring();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_null(keyring_provide(&keyring, cases[i].host), "%s", cases[i].host);
        for (size_t at = 0; at < keyring.count; at++) {
            if (strcmp(keyring.list[at]->host, cases[i].host) == 0)
                cr_expect(keyring.list[at]->problem && strstr(keyring.list[at]->problem, cases[i].reason), "%s: %s",
                          cases[i].host, keyring.list[at]->problem);
        }
    }
    cr_expect_null(keyring_provide(&keyring, "text"));
    cr_expect_null(keyring_provide(&keyring, "open"));
    cr_expect_null(keyring_provide(&keyring, "other"));
    cr_expect_not_null(keyring_provide(&keyring, "fine"), "the others still run");
    cr_assert_eq(chmod("state/open.pem", 0600), 0);
    cr_expect_not_null(keyring_provide(&keyring, "open"), "read again when it was put right");
}

Test(keyring, a_new_file_is_taken_up_and_the_old_key_still_signs) {
    uint8_t first[SIGNING_KEY_NAME], second[SIGNING_KEY_NAME];
    open_keyring();
    memcpy(first, keyring_provide(&keyring, "a")->public.key, sizeof first);
    put_identity("x", "a");
    cr_assert_eq(rename("x", "state/a.pem"), 0);
    memcpy(second, keyring_provide(&keyring, "a")->public.key, sizeof second);
    cr_expect_arr_neq(first, second, sizeof first);
    cr_expect_not_null(keyring_find_key(&keyring, first));
    put_identity("x", "a");
    cr_assert_eq(rename("x", "state/a.pem"), 0);
    cr_assert_not_null(keyring_provide(&keyring, "a"));
    cr_expect_null(keyring_find_key(&keyring, first), "only the last one before is kept");
    cr_expect_not_null(keyring_find_key(&keyring, second));
}

Test(keyring, folders_that_are_missing) {
    cr_expect_eq(keyring_open(&keyring, "nowhere", NULL), EX_NOINPUT);
    cr_expect_eq(keyring_open(&keyring, "state", "nowhere"), EX_OK, "systemd 254 names a folder that is not there");
    cr_expect_eq(keyring_open(&keyring, "state", "/dev/null"), EX_NOINPUT);
    cr_expect_eq(keyring_open(&keyring, "state", NULL), EX_OK);
}
