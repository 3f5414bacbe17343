/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands/fingerprint.h"
#include "commands/renew.h"
#include "common/random.h"
#include "keys/atomic_file.h"
#include "keys/identity.h"

static char state[] = "/tmp/vitrine-renew-XXXXXX";
static int folder = -1;

static void begin(void) {
    cr_assert_eq(random_open(), 0);
    cr_assert_not_null(mkdtemp(state));
    folder = open(state, O_RDONLY | O_DIRECTORY);
    cr_assert_geq(folder, 0);
    cr_redirect_stdout();
}

static void end(void) {
    char command[128];
    close(folder);
    snprintf(command, sizeof command, "rm -rf %s", state);
    cr_assert_eq(system(command), 0);
}

TestSuite(renew, .init = begin, .fini = end);

static void put_identity(const char *file, const char *host) {
    char pem[IDENTITY_PEM_MAX];
    size_t size = identity_make(host, pem);
    cr_assert_eq(atomic_file_create(folder, file, pem, size), 0);
}

static struct certificate_facts facts_of(const char *file) {
    struct certificate_facts facts;
    const char *problem = fingerprint_examine(folder, file, &facts);
    cr_assert_null(problem, "%s: %s", file, problem);
    free(facts.names);
    facts.names = NULL;
    return facts;
}

static bool is_there(const char *file) {
    return faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Test(renew, same_key_new_certificate) {
    struct stat about;
    put_identity("a.example.pem", "a.example");
    put_identity("b.example.pem", "b.example");
    struct certificate_facts before = facts_of("a.example.pem"), other = facts_of("b.example.pem");
    cr_assert_eq(renew(state, &(struct renewal){.host = "a.example"}), EX_OK);
    struct certificate_facts after = facts_of("a.example.pem"), same = facts_of("b.example.pem");
    cr_expect_arr_eq(before.key_id, after.key_id, sizeof before.key_id);
    cr_expect_arr_neq(before.fingerprint, after.fingerprint, sizeof before.fingerprint);
    cr_expect_arr_eq(other.fingerprint, same.fingerprint, sizeof other.fingerprint);
    cr_assert_eq(fstatat(folder, "a.example.pem", &about, 0), 0);
    cr_expect_eq(about.st_mode & 07777, 0600);
    /* It can be served, and renewed again. */
    char *pem;
    struct identity identity;
    cr_assert_gt(atomic_file_read(folder, "a.example.pem", &pem), 0);
    cr_assert_null(identity_load(&identity, "a.example", pem, NULL));
    identity_dispose(&identity);
    free(pem);
    cr_expect_eq(renew(state, &(struct renewal){.host = "a.example"}), EX_OK);
}

Test(renew, a_new_key_in_two_steps) {
    const struct renewal first = {.host = "a.example", .new_key = true, .announce = true};
    const struct renewal second = {.host = "a.example", .new_key = true};
    put_identity("a.example.pem", "a.example");
    struct certificate_facts before = facts_of("a.example.pem");
    cr_expect_eq(renew(state, &second), EX_NOINPUT, "nothing was announced");
    cr_assert_eq(renew(state, &first), EX_OK);
    struct certificate_facts unchanged = facts_of("a.example.pem"), next = facts_of("a.example.next");
    cr_expect_arr_eq(before.fingerprint, unchanged.fingerprint, sizeof before.fingerprint);
    cr_expect_arr_neq(before.key_id, next.key_id, sizeof before.key_id);
    cr_assert_eq(renew(state, &first), EX_OK);
    struct certificate_facts again = facts_of("a.example.next");
    cr_expect_arr_eq(next.fingerprint, again.fingerprint, sizeof next.fingerprint, "an announcement stays");
    cr_assert_eq(renew(state, &second), EX_OK);
    struct certificate_facts after = facts_of("a.example.pem");
    cr_expect_arr_eq(next.fingerprint, after.fingerprint, sizeof next.fingerprint);
    cr_expect_not(is_there("a.example.next"));
    cr_expect_eq(renew(state, &second), EX_NOINPUT);
}

#define BOOKS                                                                                                          \
    "b\xc3\xbc"                                                                                                        \
    "cher.example"

/* Makes files as an earlier version did. */
static void put_international(void) {
    put_identity(BOOKS ".pem", BOOKS);
    put_identity(BOOKS ".next", BOOKS);
}

Test(renew, international_names_in_either_spelling) {
    static const char *const spellings[] = {BOOKS, "xn--bcher-kva.example"};
    for (size_t i = 0; i < 2; i++) {
        const struct renewal same = {.host = spellings[i]}, move = {.host = spellings[i], .new_key = true};
        const struct renewal announce = {.host = spellings[1 - i], .new_key = true, .announce = true};
        put_international();
        struct certificate_facts before = facts_of(BOOKS ".pem"), next = facts_of(BOOKS ".next");
        cr_expect(before.has_unicode);
        char *host[] = {(char[]){BOOKS}, NULL};
        cr_expect_eq(fingerprint(state, host), EX_OK);
        cr_assert_eq(renew(state, &same), EX_OK);
        struct certificate_facts after = facts_of("xn--bcher-kva.example.pem");
        cr_expect_not(after.has_unicode, "what is made holds names in ASCII");
        cr_expect_arr_eq(after.key_id, before.key_id, sizeof before.key_id);
        cr_expect_not(is_there(BOOKS ".pem"));
        cr_expect_eq(fingerprint(state, host), EX_OK);
        cr_assert_eq(renew(state, &announce), EX_OK);
        cr_expect_not(is_there("xn--bcher-kva.example.next"), "what was announced stays");
        cr_assert_eq(renew(state, &move), EX_OK);
        after = facts_of("xn--bcher-kva.example.pem");
        cr_expect_arr_eq(after.key_id, next.key_id, sizeof next.key_id);
        cr_expect_not(is_there(BOOKS ".next"));
        cr_expect_eq(renew(state, &move), EX_NOINPUT);
        put_international();
        cr_assert_eq(unlinkat(folder, "xn--bcher-kva.example.pem", 0), 0);
        cr_assert_eq(renew(state, &move), EX_OK);
        cr_expect_not(is_there(BOOKS ".pem"), "the old key is gone");
        cr_assert_eq(unlinkat(folder, "xn--bcher-kva.example.pem", 0), 0);
    }
}

Test(renew, what_cannot_be_renewed) {
    static const char *const hosts[] = {"none.example", "../a", "", "text", "open"};
    cr_assert_eq(atomic_file_create(folder, "text.pem", "text", 4), 0);
    cr_assert_eq(atomic_file_create(folder, "text.next", "text", 4), 0);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        cr_expect_neq(renew(state, &(struct renewal){.host = hosts[i]}), EX_OK, "%s", hosts[i]);
        cr_expect_neq(renew(state, &(struct renewal){.host = hosts[i], .new_key = true}), EX_OK, "%s", hosts[i]);
    }
    cr_expect_eq(renew(state, &(struct renewal){.host = "none.example", .new_key = true, .announce = true}), EX_NOINPUT,
                 "no next one where there is no first one");
    cr_expect_not(is_there("none.example.next"));
    char *text;
    cr_assert_eq(atomic_file_read(folder, "text.pem", &text), 4);
    cr_expect_str_eq(text, "text");
    free(text);
    cr_expect_eq(renew("/nowhere", &(struct renewal){.host = "a"}), EX_NOINPUT);
}

Test(renew, fingerprints_as_openssl_sees_them) {
    char text[4096] = "", command[256], seen[256];
    put_identity("a.example.pem", "a.example");
    put_identity("a.example.next", "a.example");
    FILE *output = fmemopen(text, sizeof text, "w");
    struct certificate_facts facts;
    cr_assert_null(fingerprint_examine(folder, "a.example.pem", &facts));
    fingerprint_print(output, "a.example", "", &facts);
    certificate_facts_dispose(&facts);
    fclose(output);
    static const char *const commands[] = {
        "openssl x509 -in %s/a.example.pem -noout -fingerprint -sha256 | cut -d= -f2",
        "openssl x509 -in %s/a.example.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64 "
        "| "
        "tr a-f A-F",
    };
    for (size_t i = 0; i < 2; i++) {
        snprintf(command, sizeof command, commands[i], state);
        FILE *pipe = popen(command, "r");
        cr_assert_not_null(fgets(seen, sizeof seen, pipe));
        pclose(pipe);
        cr_expect(strlen(seen) > 60 && strstr(text, seen), "%s is not in %s", seen, text);
    }
    cr_expect_not_null(strstr(text, "_1965._tcp.a.example. IN TLSA 3 1 1 "));
    char *none[] = {NULL}, *one[] = {state, NULL}, *missing[] = {(char[]){"b.example"}, NULL};
    cr_expect_eq(fingerprint(state, none), EX_OK);
    cr_expect_eq(fingerprint(state, missing), EX_NOINPUT);
    cr_expect_eq(fingerprint(state, one), EX_DATAERR, "a folder is no file");
    cr_expect_eq(fingerprint("/nowhere", none), EX_NOINPUT);
}

Test(renew, the_file_of_an_administrator_is_the_service_s) {
    struct stat about;
    if (geteuid() != 0)
        cr_skip_test("not root");
    cr_assert_eq(chown(state, 4711, 4712), 0);
    put_identity("a.pem", "a");
    cr_assert_eq(fstatat(folder, "a.pem", &about, 0), 0);
    cr_expect_eq(about.st_uid, 4711);
    cr_expect_eq(about.st_gid, 4712);
}
