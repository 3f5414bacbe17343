/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../identity.h"
#include "../random.h"
#include "../tls.h"

static char folder[] = "/tmp/vitrine-identity-XXXXXX";
static int state = -1;

static void begin(void) {
    cr_assert(random_open());
    cr_assert_not_null(mkdtemp(folder));
    state = open(folder, O_RDONLY | O_DIRECTORY);
    cr_assert_geq(state, 0);
}

static void end(void) {
    char command[128];
    close(state);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(identity, .init = begin, .fini = end);

static void put(const char *name, const char *text, mode_t mode) {
    int file = openat(state, name, O_WRONLY | O_CREAT | O_TRUNC, mode);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
}

Test(identity, made_once_and_kept) {
    struct identities first = {0}, second = {0};
    struct stat about;
    cr_assert(identities_provide(&first, state, "example.org"));
    cr_assert_eq(fstatat(state, "example.org.pem", &about, 0), 0);
    cr_expect_eq(about.st_mode & 07777, 0600);
    cr_expect_neq(faccessat(state, ".new-identity", F_OK, 0), 0, "the temporary file is gone");
    cr_assert(identities_provide(&second, state, "example.org"));
    cr_expect_str_eq(first.list[0].certificate, second.list[0].certificate);
    cr_expect_str_eq(first.list[0].key, second.list[0].key);
    identities_dispose(&first);
    identities_dispose(&second);
}

Test(identity, every_kind_of_host_can_be_used_for_tls) {
    static const char *const hosts[] = {
        "localhost",
        "a.example",
        "127.0.0.1",
        "::1",
        "default",
        "xn--bcher-kva.example",
        "a-host-name-with-far-more-than-sixty-four-characters.in-two-labels.example.org",
        "label-of-sixty-three-characters-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.label-of-sixty-three-characters-"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.label-of-sixty-three-characters-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx."
        "example",
    };
    static struct tls_channel channel;
    struct identities identities = {0};
    size_t count = sizeof hosts / sizeof *hosts;
    for (size_t i = 0; i < count; i++)
        cr_assert(identities_provide(&identities, state, hosts[i]), "%s", hosts[i]);
    cr_assert_eq(identities.count, count);
    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(identities_find(&identities, hosts[i])->host, hosts[i]);
    cr_expect_null(identities_find(&identities, "b.example"));
    struct tls *tls = tls_open(&identities, "default", &channel);
    cr_expect_not_null(tls);
    tls_close(tls);
    identities_dispose(&identities);
}

Test(identity, what_cannot_be_used_stays_and_is_refused) {
    static const struct {
        const char *host, *text;
    } cases[] = {
        {"empty.example", ""},
        {"words.example", "no key here\n"},
        {"half.example", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        {"open.example", "-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN PRIVATE KEY-----\nAAAA\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct identities identities = {0};
        char name[64];
        struct stat about;
        snprintf(name, sizeof name, "%s.pem", cases[i].host);
        put(name, cases[i].text, 0600);
        cr_expect_not(identities_provide(&identities, state, cases[i].host), "%s", cases[i].host);
        cr_expect_eq(identities.count, 0);
        cr_assert_eq(fstatat(state, name, &about, 0), 0);
        cr_expect_eq(about.st_size, (off_t)strlen(cases[i].text), "%s is untouched", name);
    }
}

Test(identity, neither_links_nor_fifos_are_followed) {
    struct identities identities = {0};
    cr_assert_eq(symlinkat("/etc/passwd", state, "link.example.pem"), 0);
    cr_assert_eq(mkfifoat(state, "fifo.example.pem", 0600), 0);
    cr_expect_not(identities_provide(&identities, state, "link.example"));
    cr_expect_not(identities_provide(&identities, state, "fifo.example"));
}

Test(identity, a_state_folder_that_cannot_be_written) {
    struct identities identities = {0};
    int nowhere = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY);
    cr_assert_geq(nowhere, 0);
    cr_expect_not(identities_provide(&identities, nowhere, "example.org"));
    close(nowhere);
}

Test(identity, certificate_and_key_of_two_identities_are_refused_by_tls) {
    static struct tls_channel channel;
    struct identities identities = {0};
    cr_assert(identities_provide(&identities, state, "a.example"));
    cr_assert(identities_provide(&identities, state, "b.example"));
    char *key = identities.list[0].key;
    size_t size = identities.list[0].key_size;
    identities.list[0].key = identities.list[1].key, identities.list[0].key_size = identities.list[1].key_size;
    identities.list[1].key = key, identities.list[1].key_size = size;
    cr_expect_null(tls_open(&identities, "a.example", &channel));
    identities_dispose(&identities);
}
