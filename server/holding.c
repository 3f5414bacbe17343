/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "holding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "store.h"

#define PREFIX_SIZE 9 /* identity. */
#define ENDING_SIZE 4 /* .pem, .key */

bool holding_is_host(const char *host) {
    size_t length = strlen(host);
    if (length == 0 || length > 250 || host[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || host[i] == '/')
            return false;
    }
    return true;
}

bool holding_host_of(const char *file, bool given, char host[static CERTIFICATE_HOST_MAX + 1]) {
    /* systemd writes identity_HOST.pem when it was told to load a folder as `identity`. */
    if (given && strncmp(file, "identity.", PREFIX_SIZE) != 0 && strncmp(file, "identity_", PREFIX_SIZE) != 0)
        return false;
    if (given)
        file += PREFIX_SIZE;
    size_t length = strlen(file);
    if (length <= ENDING_SIZE || length - ENDING_SIZE > CERTIFICATE_HOST_MAX ||
        strcmp(file + length - ENDING_SIZE, ".pem") != 0)
        return false;
    memcpy(host, file, length - ENDING_SIZE);
    host[length - ENDING_SIZE] = '\0';
    return holding_is_host(host);
}

/* Reads a file. Returns NULL, or what is wrong with it. */
static const char *read_file(int folder, const char *file, char **text) {
    ssize_t size = store_read(folder, file, text);
    if (size == -EACCES || size == -EPERM)
        return "it may not be read; give it to the user who owns the folder that it lies in";
    return size < 0 ? "it is no file that can be read; put it back from a backup" : NULL;
}

static void wipe(char *text) {
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

/* The key may have a file of its own beside a given certificate. */
static const char *read_key_file(int folder, const struct holding *holding, char **key) {
    char file[HOLDING_FILE_MAX + 1];
    snprintf(file, sizeof file, "%.*s.key", (int)(strlen(holding->file) - ENDING_SIZE), holding->file);
    if (!holding->given || faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return NULL;
    return read_file(folder, file, key);
}

static const char *load(struct holding *holding, int folder) {
    char *pem = NULL, *key = NULL;
    const char *problem = read_file(folder, holding->file, &pem);
    if (!problem)
        problem = read_key_file(folder, holding, &key);
    /* First of all its names: hosts that it is for are not to get another one when it turns out to be broken. */
    if (!problem)
        problem = certificate_examine(&holding->facts, pem);
    if (!problem)
        problem = identity_load(&holding->identity, holding->host, pem, key);
    wipe(pem);
    wipe(key);
    return problem;
}

struct holding *holding_load(int folder, const char *file, bool given) {
    struct holding *holding = calloc(1, sizeof *holding);
    if (!holding)
        return NULL;
    holding->given = given;
    snprintf(holding->file, sizeof holding->file, "%s", file);
    if (given)
        file += PREFIX_SIZE;
    snprintf(holding->host, sizeof holding->host, "%.*s", (int)(strlen(file) - strlen(strrchr(file, '.'))), file);
    if (fstatat(folder, holding->file, &holding->about, AT_SYMLINK_NOFOLLOW) < 0)
        holding->problem = "it is no file that can be read; put it back from a backup";
    else if (!given && S_ISREG(holding->about.st_mode) && (holding->about.st_mode & 077) != 0)
        holding->problem =
            "others than its owner may open it; forbid that (chmod 600), and should somebody have read it, "
            "move to a new key";
    else
        holding->problem = load(holding, folder);
    if (!holding->problem && !given && holding_match(holding, holding->host) == CERTIFICATE_OTHER)
        holding->problem = "its certificate is for another host; put the right one back from a backup";
    return holding;
}

bool holding_is_stale(const struct holding *holding, int folder) {
    struct stat about;
    if (fstatat(folder, holding->file, &about, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    return about.st_ino != holding->about.st_ino || about.st_size != holding->about.st_size ||
           about.st_mode != holding->about.st_mode || about.st_uid != holding->about.st_uid ||
           about.st_mtim.tv_sec != holding->about.st_mtim.tv_sec ||
           about.st_mtim.tv_nsec != holding->about.st_mtim.tv_nsec;
}

enum certificate_match holding_match(const struct holding *holding, const char *host) {
    /* The capsule for visitors who name no host has no name that a certificate could hold. */
    if (strcmp(host, "default") == 0 && strcmp(holding->host, host) == 0)
        return CERTIFICATE_EXACT;
    return holding->facts.names ? certificate_match(holding->facts.names, host) : CERTIFICATE_OTHER;
}

void holding_warn(struct holding *holding) {
    time_t now = time(NULL), ends = holding->facts.ends;
    unsigned stage = certificate_stage(ends, now);
    struct tm when;
    char date[sizeof "-2147483648-12-31"] = "";
    if (stage <= holding->warned)
        return;
    holding->warned = stage;
    if (gmtime_r(&ends, &when))
        strftime(date, sizeof date, "%Y-%m-%d", &when);
    log_line(LOG_LEVEL_WARNING, "identity %s: the certificate in %s %s on %s, %lld days from now; %s", holding->host,
             holding->file, stage == 4 ? "has ended" : "ends", date, (long long)((ends - now) / 86400),
             holding->given ? "give one that is renewed" : "vitrine renew makes the next one with the same key");
}

void holding_dispose(struct holding *holding) {
    if (!holding)
        return;
    identity_dispose(&holding->identity);
    certificate_facts_dispose(&holding->facts);
    free(holding);
}
