/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "renew.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/hostname.h"
#include "common/log.h"
#include "common/random.h"
#include "fingerprint.h"
#include "keys/atomic_file.h"
#include "keys/identity.h"
#include "keys/identity_file.h"

#define IN_FORCE "The server uses it after: systemctl reload vitrine.service\n"

static int complain(const char *host, const char *file, const char *problem, int status) {
    log_line(LOG_LEVEL_ERROR, "identity %s: %s: %s", host, file, problem);
    return status;
}

/* Prints which identity is used from now on, or announced, and what that means. */
static int conclude(int folder, const char *host, const char *file, const char *meaning) {
    struct certificate_facts facts;
    const char *problem = fingerprint_examine(folder, file, &facts);
    if (problem)
        return complain(host, file, problem, EX_DATAERR);
    fingerprint_print(stdout, host, "", &facts);
    certificate_facts_dispose(&facts);
    fputs(meaning, stdout);
    return log_printed() ? EX_OK : EX_IOERR;
}

/*
 * Removes a file that an earlier version named in the non-ASCII spelling (identity_file_path), after the new file is on
 * disk.
 */
static void take_away(int folder, const char *file, const char *former) {
    if (strcmp(file, former) != 0)
        unlinkat(folder, former, 0);
}

static int renew_certificate(int folder, const char *host, const char *file) {
    char *old = NULL, pem[IDENTITY_PEM_MAX], former[IDENTITY_FILE_NAME_MAX + 1];
    size_t made = 0;
    identity_file_path(folder, host, IDENTITY_FILE_PRESENT, former);
    ssize_t size = atomic_file_read(folder, former, &old);
    if (size == -ENOENT)
        return complain(host, file, "it does not exist yet; the server makes it when it first serves the host",
                        EX_NOINPUT);
    if (size < 0)
        return complain(host, file, strerror((int)-size), EX_NOINPUT);
    const char *problem = identity_renew(host, old, pem, &made);
    explicit_bzero(old, (size_t)size);
    free(old);
    int result = problem ? 0 : atomic_file_replace(folder, file, pem, made);
    explicit_bzero(pem, sizeof pem);
    if (problem)
        return complain(host, file, problem, EX_DATAERR);
    if (result < 0)
        return complain(host, file, strerror(-result), EX_CANTCREAT);
    take_away(folder, file, former);
    return conclude(folder, host, file,
                    "This is a new certificate with the same key. Clients that remember certificates will ask "
                    "their\nusers whether to trust it. Clients that remember public keys notice nothing, and the TLSA "
                    "record\nstays the same.\n" IN_FORCE);
}

static int show_announced(int folder, const char *host, const char *next) {
    return conclude(folder, host, next,
                    "This is the next identity of the host; it is not in use yet. Publish its fingerprint where "
                    "readers\nwill look, for example in the capsule, and add its TLSA record beside the present one. "
                    "After a few\nweeks, run this command again without --announce.\n");
}

/* If an identity was announced before, shows that one again: somebody may already have published its fingerprint. */
static int announce(int folder, const char *host) {
    char pem[IDENTITY_PEM_MAX], file[IDENTITY_FILE_NAME_MAX + 1], next[IDENTITY_FILE_NAME_MAX + 1];
    if (!identity_file_path(folder, host, IDENTITY_FILE_PRESENT, file))
        return complain(host, file, strerror(ENOENT), EX_NOINPUT);
    if (identity_file_path(folder, host, IDENTITY_FILE_NEXT, next))
        return show_announced(folder, host, next);
    size_t size = identity_make(host, pem);
    int result = size > 0 ? atomic_file_create(folder, next, pem, size) : 0;
    explicit_bzero(pem, sizeof pem);
    if (size == 0)
        return complain(host, next, "making a key failed", EX_CANTCREAT);
    if (result < 0 && result != -EEXIST)
        return complain(host, next, strerror(-result), EX_CANTCREAT);
    return show_announced(folder, host, next);
}

static int put_in_force(int folder, const char *host, const char *file) {
    char next[IDENTITY_FILE_NAME_MAX + 1], former[IDENTITY_FILE_NAME_MAX + 1];
    identity_file_path(folder, host, IDENTITY_FILE_PRESENT, former);
    if (!identity_file_path(folder, host, IDENTITY_FILE_NEXT, next))
        return complain(host, next, "no new key was announced; run the same command with --announce first", EX_NOINPUT);
    /* Do not replace a usable identity with an unusable one. */
    struct identity_file *held = identity_file_load(folder, next, false);
    const char *problem = held ? held->problem : "out of memory";
    identity_file_dispose(held);
    if (problem)
        return complain(host, next, problem, EX_DATAERR);
    int result = atomic_file_rename(folder, next, file);
    if (result < 0)
        return complain(host, next, strerror(-result), EX_CANTCREAT);
    take_away(folder, file, former);
    return conclude(
        folder, host, file,
        "The announced key is now in place, and the old one is gone. All clients that remember this host\nwill ask "
        "their users, who can compare it with your announcement. Remove the old TLSA record.\n" IN_FORCE);
}

int renew(const char *state, const struct renewal *renewal) {
    char host[HOSTNAME_MAX + 1], file[IDENTITY_FILE_NAME_MAX + 1];
    int folder = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name another with --state", state, strerror(errno));
        return EX_NOINPUT;
    }
    int status = EX_NOINPUT;
    if (!hostname_canonical(host, renewal->host) || !identity_file_is_host(host)) {
        log_line(LOG_LEVEL_ERROR, "invalid host name; use the name of the capsule's folder");
        close(folder);
        return status;
    }
    identity_file_name(host, file);
    if (random_open() < 0)
        status = complain(host, file, "the system provides no random bytes", EX_OSERR);
    else if (!renewal->new_key)
        status = renew_certificate(folder, host, file);
    else if (renewal->announce)
        status = announce(folder, host);
    else
        status = put_in_force(folder, host, file);
    close(folder);
    return status;
}
