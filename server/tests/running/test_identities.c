/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Identities: made once, never replaced, and private (protocol row 23). */

#include <criterion/criterion.h>
#include <dirent.h>
#include <glob.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/server.h"

#define OTHER "other.example"

static struct server server;

static void begin(void) {
    server_prepare(&server);
    server_put_text(&server, OTHER "/index.gmi", "# Other\n");
    server_start(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(identities, .init = begin, .fini = end, .timeout = 90);

/* Returns a client after its handshake. The caller ends it, and with it the certificate. */
static struct gemini_client *meet(const char *name) {
    struct gemini_way way = way_to(&server);
    way.server_name = name;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    return client;
}

static void fingerprint_of(const char *name, char fingerprint[static GEMINI_FINGERPRINT_SIZE]) {
    struct gemini_client *client = meet(name);
    gemini_fingerprint(client, fingerprint);
    gemini_end(client);
}

Test(identities, row_23_a_certificate_that_can_be_pinned) {
    static const char *const names[] = {"localhost", OTHER};
    for (size_t i = 0; i < 2; i++) {
        struct gemini_client *client = meet(names[i]);
        X509 *certificate = SSL_get0_peer_certificate(client->session);
        EVP_PKEY *key = X509_get0_pubkey(certificate);
        char group[64] = "";
        EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
        cr_expect_str_eq(group, "prime256v1", "the key is no P-256 key");
        cr_expect_eq(X509_verify(certificate, key), 1, "it is not signed by itself");
        cr_expect_eq(X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)), 0);
        cr_expect_eq(X509_get_version(certificate), X509_VERSION_3);
        cr_expect_eq(X509_check_host(certificate, names[i], 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL), 1,
                     "%s is no alternative name", names[i]);
        cr_expect_eq(X509_check_host(certificate, names[1 - i], 0, 0, NULL), 0, "it is good for another host");
        time_t decades = time(NULL) + 20L * 365 * 24 * 3600;
        cr_expect_eq(X509_cmp_time(X509_get0_notAfter(certificate), &decades), 1, "it expires within 20 years");
        cr_expect_eq(X509_cmp_current_time(X509_get0_notBefore(certificate)), -1, "it is not valid yet");
        gemini_end(client);
    }
}

Test(identities, row_23_each_has_a_key_of_its_own) {
    struct gemini_client *one = meet("localhost"), *other = meet(OTHER);
    X509 *first = SSL_get0_peer_certificate(one->session), *second = SSL_get0_peer_certificate(other->session);
    cr_expect_neq(EVP_PKEY_eq(X509_get0_pubkey(first), X509_get0_pubkey(second)), 1, "two hosts share a key");
    cr_expect_neq(ASN1_INTEGER_cmp(X509_get0_serialNumber(first), X509_get0_serialNumber(second)), 0);
    gemini_end(one);
    gemini_end(other);
}

Test(identities, row_23_they_are_kept_over_restarts) {
    char before[2][GEMINI_FINGERPRINT_SIZE], after[2][GEMINI_FINGERPRINT_SIZE];
    fingerprint_of("localhost", before[0]);
    fingerprint_of(OTHER, before[1]);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(server_stop(&server, SIGTERM), 0);
        server_start(&server);
        fingerprint_of("localhost", after[0]);
        fingerprint_of(OTHER, after[1]);
        cr_expect_str_eq(after[0], before[0]);
        cr_expect_str_eq(after[1], before[1]);
    }
}

Test(identities, row_23_a_new_capsule_changes_no_other_identity) {
    char before[GEMINI_FINGERPRINT_SIZE], after[GEMINI_FINGERPRINT_SIZE], new[GEMINI_FINGERPRINT_SIZE];
    fingerprint_of("localhost", before);
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    server_put_text(&server, "a-new.example/index.gmi", "# New\n");
    server_start(&server);
    fingerprint_of("localhost", after);
    fingerprint_of("a-new.example", new);
    cr_expect_str_eq(after, before);
    cr_expect_str_neq(new, before);
}

Test(identities, row_23_they_outlive_a_kill) {
    char before[GEMINI_FINGERPRINT_SIZE], after[GEMINI_FINGERPRINT_SIZE];
    fingerprint_of("localhost", before);
    server_stop(&server, SIGKILL);
    server_start(&server);
    fingerprint_of("localhost", after);
    cr_expect_str_eq(after, before);
}

#define HOSTS 25 /* per round */

/* Returns how many identities of a round are in the state folder. */
static unsigned made_in(unsigned round) {
    unsigned made = 0;
    for (unsigned number = 0; number < HOSTS; number++) {
        char path[160];
        snprintf(path, sizeof path, "%s/state/host-%u-%u.example.pem", server.folder, round, number);
        made += access(path, F_OK) == 0;
    }
    return made;
}

/* Returns how many files have the names that identities have before they are put in place. */
static size_t prepared(void) {
    char pattern[160];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/state/.new*", server.folder);
    size_t count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    if (count > 0)
        globfree(&found);
    return count;
}

/* Kills at a random moment of the start in every second round, and in the others as soon as one identity is made. */
static void wait_to_kill(unsigned round, size_t left) {
    uint64_t give_up = gemini_now() + 10000;
    if (round % 2 == 0)
        usleep(500 + round * 400);
    while (round % 2 == 1 && made_in(round) == 0 && prepared() == left && gemini_now() < give_up)
        continue;
}

Test(identities, row_23_a_kill_while_they_are_made_leaves_no_half_ones) {
    unsigned amidst = 0;
    char path[128], before[GEMINI_FINGERPRINT_SIZE], after[GEMINI_FINGERPRINT_SIZE];
    fingerprint_of("localhost", before);
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned number = 0; number < HOSTS; number++) {
            snprintf(path, sizeof path, "host-%u-%u.example/index.gmi", round, number);
            server_put_text(&server, path, "# Host\n");
        }
        size_t left = prepared();
        server_launch(&server);
        wait_to_kill(round, left);
        server_stop(&server, SIGKILL);
        amidst += (prepared() > 0 || made_in(round) > 0) && made_in(round) < HOSTS;
    }
    cr_expect_gt(amidst, 0, "no kill came while they were made");
    server_start(&server);
    fingerprint_of("localhost", after);
    cr_expect_str_eq(after, before);
    for (unsigned number = 0; number < 20 * HOSTS; number++) {
        snprintf(path, sizeof path, "host-%u-%u.example", number / HOSTS, number % HOSTS);
        fingerprint_of(path, after);
        cr_expect_str_neq(after, before, "%s has no identity of its own", path);
    }
    cr_expect_eq(prepared(), 0, "the next start removes what was not put in place");
}

/* Calls `each` for every file in the state folder, down to two folders deep. */
static size_t each_file(const char *folder, int depth, void (*each)(const char *path)) {
    DIR *stream = opendir(folder);
    struct dirent *entry;
    size_t count = 0;
    cr_assert_not_null(stream, "%s", folder);
    while ((entry = readdir(stream))) {
        char path[600];
        struct stat status;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        cr_assert_eq(lstat(path, &status), 0);
        if (S_ISDIR(status.st_mode) && depth > 0) {
            count += each_file(path, depth - 1, each);
        } else {
            each(path);
            count++;
        }
    }
    closedir(stream);
    return count;
}

static void expect_private(const char *path) {
    struct stat status;
    cr_assert_eq(lstat(path, &status), 0);
    cr_expect(S_ISREG(status.st_mode), "%s is not a regular file", path);
    cr_expect_eq(status.st_mode & 07777, 0600, "%s has the mode %o", path, status.st_mode & 07777);
    cr_expect_eq(status.st_uid, geteuid());
}

Test(identities, row_23_the_files_are_private) {
    char state[128];
    snprintf(state, sizeof state, "%s/state", server.folder);
    cr_expect_geq(each_file(state, 2, expect_private), 2, "no identity is in the state folder");
}

Test(identities, row_23_the_files_are_private_whatever_the_umask) {
    char state[128];
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    server_put_text(&server, "open.example/index.gmi", "# Open\n");
    mode_t before = umask(0);
    server_start(&server);
    umask(before);
    snprintf(state, sizeof state, "%s/state", server.folder);
    cr_expect_geq(each_file(state, 2, expect_private), 3);
}

static void damage(const char *path) {
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs("damaged\n", file);
    fclose(file);
}

static void expect_damaged(const char *path) {
    char line[64] = "";
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    cr_expect(fgets(line, sizeof line, file) && strcmp(line, "damaged\n") == 0, "%s was replaced", path);
    fclose(file);
}

Test(identities, row_23_a_damaged_identity_is_not_replaced) {
    char state[128], content[128], listen[64], output[4096];
    snprintf(state, sizeof state, "%s/state", server.folder);
    snprintf(content, sizeof content, "%s/content", server.folder);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", server.port);
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    cr_assert_geq(each_file(state, 2, damage), 2);
    const char *arguments[] = {"serve", "--listen", listen, "--content", content, "--state", state, NULL};
    /* All identities are damaged, so the server cannot serve. */
    cr_expect_gt(run_program(output, sizeof output, arguments), 0, "%s", output);
    cr_expect(strstr(output, "localhost"), "which identity is damaged is not said: %s", output);
    cr_expect_geq(each_file(state, 2, expect_damaged), 2, "nothing is left of them");
}
