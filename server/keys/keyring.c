/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "keyring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "store.h"

/* ---- the list ---- */

static bool has_key(const struct holding *holding, const uint8_t key[static SIGNING_KEY_NAME]) {
    return !holding->problem && memcmp(holding->identity.public.key, key, SIGNING_KEY_NAME) == 0;
}

static bool serves(const struct holding *holding, uint64_t generation) {
    for (size_t i = 0; i < HOLDING_GENERATIONS; i++) {
        if (generation != 0 && holding->generations[i] == generation)
            return true;
    }
    return false;
}

static void serve(struct holding *holding, uint64_t generation) {
    if (serves(holding, generation))
        return;
    memmove(holding->generations + 1, holding->generations, sizeof holding->generations - sizeof *holding->generations);
    holding->generations[0] = generation;
}

void keyring_serve(struct keyring *keyring, const uint8_t key[static SIGNING_KEY_NAME], uint64_t generation) {
    for (size_t i = 0; i < keyring->count; i++) {
        if (!keyring->list[i]->former && has_key(keyring->list[i], key))
            serve(keyring->list[i], generation);
    }
}

uint64_t keyring_generation(const struct keyring *keyring, uint64_t generation) {
    for (size_t i = 0; i < keyring->count; i++) {
        if (serves(keyring->list[i], generation))
            return generation;
    }
    return KEYRING_FOUND;
}

const struct identity *keyring_find_key(const struct keyring *keyring, const uint8_t key[static SIGNING_KEY_NAME],
                                        uint64_t generation) {
    for (size_t i = 0; i < keyring->count; i++) {
        const struct holding *holding = keyring->list[i];
        if (has_key(holding, key) && serves(holding, generation))
            return &holding->identity;
    }
    return NULL;
}

/* The one whose file is named after the host. */
static struct holding *find_own(const struct keyring *keyring, const char *host, bool given) {
    for (size_t i = 0; i < keyring->count; i++) {
        struct holding *holding = keyring->list[i];
        if (holding->given == given && !holding->former && strcmp(holding->host, host) == 0)
            return holding;
    }
    return NULL;
}

/* The given one whose certificate names the host best; of several alike the one whose file comes first by its name. */
static struct holding *find_match(const struct keyring *keyring, const char *host) {
    struct holding *found = NULL;
    enum certificate_match best = CERTIFICATE_OTHER;
    for (size_t i = 0; i < keyring->count; i++) {
        struct holding *holding = keyring->list[i];
        enum certificate_match match =
            holding->given && !holding->former ? holding_match(holding, host) : CERTIFICATE_OTHER;
        if (match > best || (found && match == best && strcmp(holding->file, found->file) < 0)) {
            best = match;
            found = holding;
        }
    }
    return found;
}

static struct holding *load(struct keyring *keyring, int folder, const char *file, bool given) {
    struct holding *holding = holding_load(folder, file, given);
    struct holding **list = reallocarray(keyring->list, keyring->count + 1, sizeof *list);
    if (list)
        keyring->list = list;
    if (!list || !holding) {
        holding_dispose(holding);
        log_line(LOG_LEVEL_ERROR, "identity %s: out of memory", file);
        return NULL;
    }
    return list[keyring->count++] = holding;
}

static void drop(struct keyring *keyring, struct holding *holding) {
    size_t kept = 0;
    for (size_t i = 0; i < keyring->count; i++) {
        if (keyring->list[i] != holding)
            keyring->list[kept++] = keyring->list[i];
    }
    keyring->count = kept;
    holding_dispose(holding);
}

/* Another takes its place. It goes on signing for workers that serve it; the one before it is given up. */
static void retire(struct keyring *keyring, struct holding *holding) {
    for (size_t i = 0; i < keyring->count; i++) {
        struct holding *former = keyring->list[i];
        if (former->former && former->given == holding->given && strcmp(former->host, holding->host) == 0) {
            drop(keyring, former);
            break;
        }
    }
    holding->former = true;
    if (holding->problem)
        drop(keyring, holding);
}

/* ---- folders ---- */

/* A host may have a file in each of two spellings; holding_file knows which of them counts. */
static void load_kept(struct keyring *keyring, int folder, const char *file) {
    char host[CERTIFICATE_HOST_MAX + 1], name[HOLDING_FILE_MAX + 1];
    if (holding_host_of(file, false, host) && holding_file(folder, host, ".pem", name) && strcmp(name, file) == 0)
        load(keyring, folder, file, false);
}

/* The given one that was read from this file. */
static struct holding *find_file(const struct keyring *keyring, const char *file) {
    for (size_t i = 0; i < keyring->count; i++) {
        struct holding *holding = keyring->list[i];
        if (holding->given && !holding->former && strcmp(holding->file, file) == 0)
            return holding;
    }
    return NULL;
}

/*
 * A given file has changed. One that cannot be used takes nobody's place: visitors go on meeting the key that they know,
 * and whoever changed the file reads why.
 */
static void exchange_given(struct keyring *keyring, int folder, struct holding *before) {
    struct holding *given = load(keyring, folder, before->file, true);
    if (!given)
        return;
    if (given->problem)
        log_line(LOG_LEVEL_ERROR, "identity %s: %s cannot be used: %s%s", given->host, given->file, given->problem,
                 before->problem ? "" : "; the version read earlier stays in use");
    given->told = given->problem != NULL;
    if (given->problem && !before->problem) {
        drop(keyring, given);
        return;
    }
    if (!given->problem)
        log_line(LOG_LEVEL_NOTICE, "identity %s: %s reloaded", given->host, given->file);
    retire(keyring, before);
}

static void load_given(struct keyring *keyring, int folder, const char *file) {
    char host[CERTIFICATE_HOST_MAX + 1], quoted[256];
    if (strncmp(file, "identity", 8) != 0)
        return;
    if (holding_host_of(file, true, host)) {
        struct holding *before = find_file(keyring, file);
        if (before && holding_is_stale(before, folder))
            exchange_given(keyring, folder, before);
        if (before)
            return;
        struct holding *given = load(keyring, folder, file, true);
        if (given && given->problem) {
            log_line(LOG_LEVEL_ERROR, "identity %s: %s cannot be used: %s", host, file, given->problem);
            given->told = true;
        }
    } else if (strlen(file) < 4 || strcmp(file + strlen(file) - 4, ".key") != 0) {
        log_line(LOG_LEVEL_WARNING, "credential %s ignored: its name must be identity.HOST.pem or identity.HOST.key",
                 log_quote(quoted, sizeof quoted, file));
    }
}

static void load_each(struct keyring *keyring, int folder,
                      void (*each)(struct keyring *keyring, int folder, const char *file)) {
    int copy = dup(folder);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    if (!stream && copy >= 0)
        close(copy);
    while (stream && (entry = readdir(stream)))
        each(keyring, folder, entry->d_name);
    if (stream)
        closedir(stream);
}

/* Opens the folder of what was given, by its name each time: at a reload systemd mounts another over it. -1 with errno. */
static int open_given(const struct keyring *keyring) {
    errno = ENOENT;
    return keyring->credentials ? open(keyring->credentials, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

int keyring_open(struct keyring *keyring, const char *state, const char *credentials) {
    *keyring = (struct keyring){.state = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .credentials = credentials};
    if (keyring->state < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name another with --state", state, strerror(errno));
        return EX_NOINPUT;
    }
    load_each(keyring, keyring->state, load_kept);
    int folder = open_given(keyring);
    /* systemd 254 names a folder that it did not make when ImportCredential= found nothing: none were given. */
    if (folder >= 0 || errno == ENOENT) {
        if (folder >= 0) {
            load_each(keyring, folder, load_given);
            close(folder);
        }
        for (size_t i = 0; i < keyring->count; i++)
            serve(keyring->list[i], KEYRING_FOUND);
        return EX_OK;
    }
    log_line(LOG_LEVEL_ERROR, "credentials folder %s: %s; check $CREDENTIALS_DIRECTORY", credentials, strerror(errno));
    keyring_dispose(keyring);
    return EX_NOINPUT;
}

/*
 * What is gone from the folder (-1: so is that) stays in use: systemd passes over a credential that it cannot decrypt, and
 * then visitors would be shown another key.
 */
static void tell_of_gone(const struct keyring *keyring, int folder) {
    for (size_t i = 0; i < keyring->count; i++) {
        const struct holding *holding = keyring->list[i];
        struct stat about;
        if (holding->given && !holding->former && !holding->problem &&
            (folder < 0 || fstatat(folder, holding->file, &about, AT_SYMLINK_NOFOLLOW) < 0))
            log_line(LOG_LEVEL_WARNING,
                     "identity %s: %s is gone; the version read earlier stays in use until the key process restarts",
                     holding->host, holding->file);
    }
}

void keyring_refresh(struct keyring *keyring) {
    int folder = open_given(keyring);
    if (folder < 0 && errno != ENOENT) {
        log_line(LOG_LEVEL_ERROR, "credentials folder %s: %s; identities read from it stay in use",
                 keyring->credentials, strerror(errno));
        return;
    }
    if (folder >= 0)
        load_each(keyring, folder, load_given);
    tell_of_gone(keyring, folder);
    if (folder >= 0)
        close(folder);
}

/* ---- whose is which ---- */

/* Makes an identity and has it on disk before anybody can pin it. */
static struct holding *make(struct keyring *keyring, const char *host) {
    char pem[IDENTITY_PEM_MAX], name[HOLDING_FILE_MAX + 1];
    snprintf(name, sizeof name, "%s.pem", host);
    size_t size = identity_make(host, pem);
    bool stored = size > 0 && (store_create(keyring->state, name, pem, size) || errno == EEXIST);
    if (size == 0)
        log_line(LOG_LEVEL_ERROR, "identity %s: making a key failed", host);
    else if (!stored)
        log_line(LOG_LEVEL_ERROR, "identity %s: cannot write %s to the state folder: %s", host, name, strerror(errno));
    else
        log_line(LOG_LEVEL_NOTICE, "identity %s: made; clients remember it from their first visit", host);
    explicit_bzero(pem, sizeof pem);
    return stored ? load(keyring, keyring->state, name, false) : NULL;
}

/* The one out of the state folder, as it is there now. NULL: there is none. */
static struct holding *find_kept(struct keyring *keyring, const char *host) {
    struct holding *kept = find_own(keyring, host, false);
    char name[HOLDING_FILE_MAX + 1];
    bool is_there = holding_file(keyring->state, host, ".pem", name);
    if (kept && is_there && strcmp(kept->file, name) == 0 && !holding_is_stale(kept, keyring->state))
        return kept;
    if (kept)
        retire(keyring, kept);
    return is_there ? load(keyring, keyring->state, name, false) : NULL;
}

/* Says what somebody may wonder about who has made or given more than one. */
static void tell(const char *host, const struct holding *own, const struct holding *kept,
                 const struct holding *matching) {
    char credential[HOLDING_FILE_MAX + 1];
    holding_credential(host, credential);
    if (own && kept)
        log_line(LOG_LEVEL_NOTICE, "identity %s: using %s; the identity made earlier (%s) is kept but not used", host,
                 own->file, kept->file);
    else if (kept && matching)
        log_line(LOG_LEVEL_NOTICE,
                 "identity %s: using the identity made earlier (%s), although %s is for this host too; to use that "
                 "one, rename it to %s",
                 host, kept->file, matching->file, credential);
    else if (!own && matching)
        log_line(LOG_LEVEL_NOTICE, "identity %s: using %s, which is for this host too", host, matching->file);
}

const struct identity *keyring_provide(struct keyring *keyring, const char *host, bool *unusable) {
    *unusable = false;
    if (!holding_is_host(host)) {
        log_line(LOG_LEVEL_WARNING,
                 "keys: refused a request for an identity: not a valid host name, or longer than 250 bytes");
        return NULL;
    }
    struct holding *own = find_own(keyring, host, true), *kept = find_kept(keyring, host);
    struct holding *matching = find_match(keyring, host);
    struct holding *chosen = own ? own : kept ? kept : matching;
    if (!chosen && !(chosen = make(keyring, host)))
        return NULL;
    const char *problem = chosen->problem;
    *unusable = true;
    if (!problem && chosen == own && holding_match(own, host) == CERTIFICATE_OTHER)
        problem = "its certificate is for other hosts; install one with this host as subject alternative name";
    if (problem) {
        bool told =
            chosen == own && chosen->told; /* just now, when it was loaded; at the next reload it is told again */
        chosen->told = false;
        if (!told)
            log_line(LOG_LEVEL_ERROR, "identity %s: %s %s cannot be used: %s", host,
                     chosen->given ? "credential" : "file", chosen->file, problem);
        return NULL;
    }
    *unusable = false;
    tell(host, own, kept, matching);
    chosen->used = true;
    holding_warn(chosen);
    return &chosen->identity;
}

void keyring_warn(const struct keyring *keyring) {
    for (size_t i = 0; i < keyring->count; i++) {
        if (keyring->list[i]->used && !keyring->list[i]->former)
            holding_warn(keyring->list[i]);
    }
}

bool keyring_holds_only(const struct keyring *keyring, const char *host) {
    for (size_t i = 0; i < keyring->count; i++) {
        if (strcmp(keyring->list[i]->host, host) != 0)
            return false;
    }
    return true;
}

void keyring_dispose(struct keyring *keyring) {
    for (size_t i = 0; i < keyring->count; i++)
        holding_dispose(keyring->list[i]);
    free(keyring->list);
    if (keyring->state >= 0)
        close(keyring->state);
    *keyring = (struct keyring){.state = -1};
}
