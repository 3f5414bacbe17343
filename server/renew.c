/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "renew.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "fingerprint.h"
#include "holding.h"
#include "identity.h"
#include "log.h"
#include "random.h"
#include "store.h"

#define IN_FORCE "It is in force after: systemctl reload vitrine.service\n"

static int complain(const char *host, const char *file, const char *problem, int status) {
    log_line(LOG_LEVEL_ERROR, "identity %s: %s: %s", host, file, problem);
    return status;
}

/* Prints what is in force from now on, or announced, and what that means. */
static int conclude(int folder, const char *host, const char *file, const char *meaning) {
    struct certificate_facts facts;
    const char *problem = fingerprint_examine(folder, file, &facts);
    if (problem)
        return complain(host, file, problem, EX_DATAERR);
    fingerprint_print(stdout, host, "", &facts);
    certificate_facts_dispose(&facts);
    fputs(meaning, stdout);
    return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int renew_certificate(int folder, const char *host, const char *file) {
    char *old = NULL, pem[IDENTITY_PEM_MAX];
    size_t made = 0;
    ssize_t size = store_read(folder, file, &old);
    if (size == -ENOENT)
        return complain(host, file, "there is none; it is made when the host is first served", EX_NOINPUT);
    if (size < 0)
        return complain(host, file, strerror((int)-size), EX_NOINPUT);
    const char *problem = identity_renew(host, old, pem, &made);
    explicit_bzero(old, (size_t)size);
    free(old);
    bool stored = !problem && store_replace(folder, file, pem, made);
    int reason = errno;
    explicit_bzero(pem, sizeof pem);
    if (problem)
        return complain(host, file, problem, EX_DATAERR);
    if (!stored)
        return complain(host, file, strerror(reason), EX_CANTCREAT);
    return conclude(
        folder, host, file,
        "A new certificate with the same key. Clients that remember the certificate will ask their visitors\n"
        "whether they trust this one; clients that remember the public key, and the TLSA record, see no\n"
        "change.\n" IN_FORCE);
}

/* One that was announced already is shown again: whoever has noted it down must not have done so in vain. */
static int announce(int folder, const char *host, const char *file, const char *next) {
    char pem[IDENTITY_PEM_MAX];
    if (faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return complain(host, file, strerror(errno), EX_NOINPUT);
    size_t size = identity_make(host, pem);
    bool stored = size > 0 && (store_create(folder, next, pem, size) || errno == EEXIST);
    int reason = errno;
    explicit_bzero(pem, sizeof pem);
    if (!stored)
        return complain(host, next, size > 0 ? strerror(reason) : "no key could be made", EX_CANTCREAT);
    return conclude(
        folder, host, next,
        "The next identity of this host, not in force yet. Publish it where visitors will look, for example\n"
        "in the capsule, and add its TLSA record to the one that is there. After some weeks:\n"
        "vitrine renew --new-key, with the host.\n");
}

static int put_in_force(int folder, const char *host, const char *file, const char *next) {
    if (faccessat(folder, next, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return complain(host, next, "no new key was announced; do that first with vitrine renew --new-key --announce",
                        EX_NOINPUT);
    /* What could not be served is not put in the place of what can. */
    struct holding *holding = holding_load(folder, next, false);
    const char *problem = holding ? holding->problem : "memory is short";
    holding_dispose(holding);
    if (problem)
        return complain(host, next, problem, EX_DATAERR);
    if (!store_rename(folder, next, file))
        return complain(host, next, strerror(errno), EX_CANTCREAT);
    return conclude(
        folder, host, file,
        "A new key, as it was announced; the old one is gone. All clients that remember this host will ask\n"
        "their visitors, who can compare with what was announced. Take the old TLSA record away.\n" IN_FORCE);
}

int renew(const char *state, const struct renewal *renewal) {
    char file[CERTIFICATE_HOST_MAX + sizeof ".pem"], next[CERTIFICATE_HOST_MAX + sizeof ".next"];
    const char *host = renewal->host;
    int folder = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name one with --state", state, strerror(errno));
        return EX_NOINPUT;
    }
    int status = EX_NOINPUT;
    snprintf(file, sizeof file, "%s.pem", host);
    snprintf(next, sizeof next, "%s.next", host);
    if (!holding_is_host(host))
        log_line(LOG_LEVEL_ERROR, "this is no host; name it as its file in the state folder is named");
    else if (!random_open())
        status = complain(host, file, "the system gives no random bytes", EX_OSERR);
    else if (!renewal->new_key)
        status = renew_certificate(folder, host, file);
    else if (renewal->announce)
        status = announce(folder, host, file, next);
    else
        status = put_in_force(folder, host, file, next);
    close(folder);
    return status;
}
