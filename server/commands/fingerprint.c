/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fingerprint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/hostname.h"
#include "common/log.h"
#include "keys/identity_file.h"

/* Reads up to the end of the first certificate, byte by byte, so that no key after it gets into this process. */
static const char *read_certificate(int file, char pem[static FINGERPRINT_PEM_MAX]) {
    static const char end[] = "-----END CERTIFICATE-----";
    for (size_t size = 0; size < FINGERPRINT_PEM_MAX - 1;) {
        if (read(file, pem + size, 1) != 1)
            return "it contains no certificate";
        pem[++size] = '\0';
        if (size >= sizeof end - 1 && memcmp(pem + size - (sizeof end - 1), end, sizeof end - 1) == 0)
            return NULL;
    }
    return "it contains no certificate";
}

const char *fingerprint_examine(int folder, const char *name, struct certificate_facts *facts) {
    char pem[FINGERPRINT_PEM_MAX];
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return strerror(errno);
    const char *problem = read_certificate(file, pem);
    close(file);
    if (!problem)
        problem = certificate_examine(facts, pem);
    explicit_bzero(pem, sizeof pem);
    return problem;
}

static void print_bytes(FILE *output, const uint8_t bytes[static 32], const char *between) {
    for (size_t i = 0; i < 32; i++)
        fprintf(output, "%s%02X", i > 0 ? between : "", bytes[i]);
    fputc('\n', output);
}

void fingerprint_print(FILE *output, const char *host, const char *drop, const struct certificate_facts *facts) {
    struct tm when = {0};
    char date[64] = "";
    if (gmtime_r(&facts->ends, &when))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", &when);
    fprintf(output, "%s%s\n  ends:        %s\n  certificate: ", host, drop, date);
    print_bytes(output, facts->fingerprint, ":");
    fputs("  public key:  ", output);
    print_bytes(output, facts->key_id, ":");
    fprintf(output, "  TLSA:        _1965._tcp.%s. IN TLSA 3 1 1 ", host);
    print_bytes(output, facts->key_id, "");
}

/* Returns the exit status. host: NULL for the one in the certificate; optional: a missing file is not an error. */
static int show(int folder, const char *file, const char *host, const char *drop, bool optional) {
    struct certificate_facts facts;
    if (optional && faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return EX_OK;
    const char *problem = fingerprint_examine(folder, file, &facts);
    if (problem) {
        char quoted[512];
        bool missing = errno == ENOENT;
        log_line(LOG_LEVEL_ERROR, "%s: %s%s", log_quote(quoted, sizeof quoted, file), problem,
                 missing ? "; name none to list all" : "");
        return missing ? EX_NOINPUT : EX_DATAERR;
    }
    facts.names[strcspn(facts.names, " ")] = '\0'; /* the first of several names is enough */
    fingerprint_print(stdout, host ? host : facts.names[0] ? facts.names : facts.common_name, drop, &facts);
    certificate_facts_dispose(&facts);
    return EX_OK;
}

static int show_host(int folder, const char *name) {
    char host[HOSTNAME_MAX + 1], file[IDENTITY_FILE_NAME_MAX + 1];
    errno = 0;
    if (strchr(name, '/'))
        return show(AT_FDCWD, name, NULL, "", false);
    if (!hostname_canonical(host, name) || !identity_file_is_host(host)) {
        log_line(LOG_LEVEL_ERROR, "invalid host name; use the name of the capsule's folder");
        return EX_NOINPUT;
    }
    identity_file_path(folder, host, IDENTITY_FILE_PRESENT, file);
    int status = show(folder, file, host, "", false);
    identity_file_path(folder, host, IDENTITY_FILE_NEXT, file);
    return status != EX_OK ? status : show(folder, file, host, " (announced, not in use yet)", true);
}

static int is_identity(const struct dirent *entry) {
    char host[HOSTNAME_MAX + 1];
    return identity_file_host_of(entry->d_name, false, host);
}

static int show_all(int folder, const char *state) {
    struct dirent **entries;
    int status = EX_OK;
    int count = scandir(state, &entries, is_identity, alphasort);
    for (int i = 0; i < count; i++) {
        char host[HOSTNAME_MAX + 1];
        char file[IDENTITY_FILE_NAME_MAX + 1];
        identity_file_host_of(entries[i]->d_name, false, host);
        /* Of two files for one host, chooses the one in use. */
        bool counts =
            identity_file_path(folder, host, IDENTITY_FILE_PRESENT, file) && strcmp(file, entries[i]->d_name) == 0;
        int shown = counts ? show_host(folder, host) : EX_OK;
        status = shown != EX_OK ? shown : status;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    if (count <= 0)
        log_line(LOG_LEVEL_NOTICE,
                 "state folder %s contains no identity; the server makes one when it first serves a capsule", state);
    return status;
}

int fingerprint(const char *state, char *const *hosts) {
    int status = EX_OK;
    bool needed = !*hosts;
    for (char *const *host = hosts; *host; host++)
        needed = needed || !strchr(*host, '/');
    int folder = needed ? open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : AT_FDCWD;
    if (needed && folder < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name another with --state", state, strerror(errno));
        return EX_NOINPUT;
    }
    if (!*hosts)
        status = show_all(folder, state);
    for (; *hosts; hosts++) {
        int shown = show_host(folder, *hosts);
        status = shown != EX_OK ? shown : status;
    }
    if (needed)
        close(folder);
    return log_printed() ? status : EX_IOERR;
}
