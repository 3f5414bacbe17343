/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "identity_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "atomic_file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/random.h"

/* ---- the list ---- */

#define LISTS_MIN 64

/* Hashes of values that owners choose: the hosts, and the IDs of the keys. */
static struct identity_file **list_of_host(const struct identity_store *store, const char *host) {
    return &store->of_host[hash_bytes(HASH_START, host, strlen(host)) & (store->lists - 1)];
}

static struct identity_file **list_of_key(const struct identity_store *store,
                                          const uint8_t key_id[static SIGNING_KEY_ID]) {
    uint32_t hash;
    memcpy(&hash, key_id, sizeof hash);
    return &store->of_key[hash & (store->lists - 1)];
}

static void enlist(const struct identity_store *store, struct identity_file *held) {
    struct identity_file **of_host = list_of_host(store, held->host);
    struct identity_file **of_key = list_of_key(store, held->identity.public.key_id);
    held->next_of_host = *of_host;
    *of_host = held;
    held->next_of_key = *of_key;
    *of_key = held;
}

static void delist(const struct identity_store *store, const struct identity_file *held) {
    struct identity_file **of_host = list_of_host(store, held->host);
    struct identity_file **of_key = list_of_key(store, held->identity.public.key_id);
    while (*of_host != held)
        of_host = &(*of_host)->next_of_host;
    *of_host = held->next_of_host;
    while (*of_key != held)
        of_key = &(*of_key)->next_of_key;
    *of_key = held->next_of_key;
}

/* Makes room for one more. Returns false if there is no memory. */
static bool make_room(struct identity_store *store) {
    if (store->count < store->lists)
        return true;
    size_t lists = store->lists ? 2 * store->lists : LISTS_MIN;
    struct identity_file **list = reallocarray(store->list, lists, sizeof *list);
    if (list)
        store->list = list;
    struct identity_file **of_host = calloc(lists, sizeof *of_host), **of_key = calloc(lists, sizeof *of_key);
    if (!list || !of_host || !of_key) {
        free(of_host);
        free(of_key);
        return false;
    }
    free(store->of_host);
    free(store->of_key);
    store->of_host = of_host;
    store->of_key = of_key;
    store->lists = lists;
    for (size_t i = 0; i < store->count; i++)
        enlist(store, store->list[i]);
    return true;
}

static bool has_key(const struct identity_file *held, const uint8_t key_id[static SIGNING_KEY_ID]) {
    return !held->problem && memcmp(held->identity.public.key_id, key_id, SIGNING_KEY_ID) == 0;
}

void identity_store_serve(struct identity_store *store, const uint8_t key_id[static SIGNING_KEY_ID],
                          uint64_t generation) {
    for (struct identity_file *held = *list_of_key(store, key_id); held; held = held->next_of_key) {
        if (!held->former && has_key(held, key_id))
            identity_file_serve(held, generation);
    }
}

uint64_t identity_store_generation(const struct identity_store *store, uint64_t generation) {
    for (size_t i = 0; i < store->count; i++) {
        if (identity_file_serves(store->list[i], generation))
            return generation;
    }
    return IDENTITY_STORE_FOUND;
}

const struct identity *identity_store_find_key(const struct identity_store *store,
                                               const uint8_t key_id[static SIGNING_KEY_ID], uint64_t generation) {
    for (const struct identity_file *held = *list_of_key(store, key_id); held; held = held->next_of_key) {
        if (has_key(held, key_id) && identity_file_serves(held, generation))
            return &held->identity;
    }
    return NULL;
}

/* Returns the one whose file is named after the host; of two such files, the one that was loaded first. */
static struct identity_file *find_own(const struct identity_store *store, const char *host, bool given) {
    struct identity_file *found = NULL;
    for (struct identity_file *held = *list_of_host(store, host); held; held = held->next_of_host) {
        if (held->given == given && !held->former && strcmp(held->host, host) == 0)
            found = held;
    }
    return found;
}

/* Returns the given one whose certificate matches the host best; among equals, the first by file name. */
static struct identity_file *find_match(const struct identity_store *store, const char *host) {
    struct identity_file *found = NULL;
    enum certificate_match best = CERTIFICATE_OTHER;
    for (size_t i = 0; i < store->count && store->given_count > 0; i++) {
        struct identity_file *held = store->list[i];
        enum certificate_match match =
            held->given && !held->former ? identity_file_match(held, host) : CERTIFICATE_OTHER;
        if (match > best || (found && match == best && strcmp(held->file, found->file) < 0)) {
            best = match;
            found = held;
        }
    }
    return found;
}

static struct identity_file *load(struct identity_store *store, int folder, const char *file, bool given) {
    struct identity_file *held = make_room(store) ? identity_file_load(folder, file, given) : NULL;
    if (!held) {
        log_line(LOG_LEVEL_ERROR, "identity %s: out of memory", file);
        return NULL;
    }
    store->list[store->count++] = held;
    store->given_count += given;
    enlist(store, held);
    return held;
}

static void drop(struct identity_store *store, struct identity_file *held) {
    size_t kept = 0;
    delist(store, held);
    store->given_count -= held->given;
    for (size_t i = 0; i < store->count; i++) {
        if (store->list[i] != held)
            store->list[kept++] = store->list[i];
    }
    store->count = kept;
    identity_file_dispose(held);
}

/* Another identity replaces this one. It still signs for workers that serve it; the one it had replaced is dropped. */
static void retire(struct identity_store *store, struct identity_file *held) {
    for (struct identity_file *former = *list_of_host(store, held->host); former; former = former->next_of_host) {
        if (former->former && former->given == held->given && strcmp(former->host, held->host) == 0) {
            drop(store, former);
            break;
        }
    }
    held->former = true;
    if (held->problem)
        drop(store, held);
}

/* ---- folders ---- */

/* A host may have a file in each of two spellings; identity_file_path decides which one to use. */
static void load_kept(struct identity_store *store, int folder, const char *file) {
    char host[HOSTNAME_MAX + 1], name[IDENTITY_FILE_NAME_MAX + 1];
    if (atomic_file_is_left(file))
        unlinkat(folder, file, 0);
    else if (identity_file_host_of(file, false, host) &&
             identity_file_path(folder, host, IDENTITY_FILE_PRESENT, name) && strcmp(name, file) == 0)
        load(store, folder, file, false);
}

/* Returns the given one that was read from this file, which is named after the host. */
static struct identity_file *find_file(const struct identity_store *store, const char *host, const char *file) {
    for (struct identity_file *held = *list_of_host(store, host); held; held = held->next_of_host) {
        if (held->given && !held->former && strcmp(held->file, file) == 0)
            return held;
    }
    return NULL;
}

/*
 * A given file has changed. An unusable one does not replace the old one: clients keep seeing the key that they know,
 * and the log says why.
 */
static void exchange_given(struct identity_store *store, int folder, struct identity_file *before) {
    struct identity_file *given = load(store, folder, before->file, true);
    if (!given)
        return;
    if (given->problem)
        log_line(LOG_LEVEL_ERROR, "identity %s: %s cannot be used: %s%s", given->host, given->file, given->problem,
                 before->problem ? "" : "; the version read earlier stays in use");
    given->told = given->problem != NULL;
    if (given->problem && !before->problem) {
        drop(store, given);
        return;
    }
    if (!given->problem)
        log_line(LOG_LEVEL_NOTICE, "identity %s: %s reloaded", given->host, given->file);
    retire(store, before);
}

static void load_given(struct identity_store *store, int folder, const char *file) {
    char host[HOSTNAME_MAX + 1], quoted[256];
    if (strncmp(file, "identity", 8) != 0)
        return;
    if (identity_file_host_of(file, true, host)) {
        struct identity_file *before = find_file(store, host, file);
        if (before && identity_file_is_stale(before, folder))
            exchange_given(store, folder, before);
        if (before)
            return;
        struct identity_file *given = load(store, folder, file, true);
        if (given && given->problem) {
            log_line(LOG_LEVEL_ERROR, "identity %s: %s cannot be used: %s", host, file, given->problem);
            given->told = true;
        }
    } else if (strlen(file) < 4 || strcmp(file + strlen(file) - 4, ".key") != 0) {
        log_line(LOG_LEVEL_WARNING, "credential %s ignored: its name must be identity.HOST.pem or identity.HOST.key",
                 log_quote(quoted, sizeof quoted, file));
    }
}

static void load_each(struct identity_store *store, int folder,
                      void (*each)(struct identity_store *store, int folder, const char *file)) {
    int copy = dup(folder);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    if (!stream && copy >= 0)
        close(copy);
    while (stream && (entry = readdir(stream)))
        each(store, folder, entry->d_name);
    if (stream)
        closedir(stream);
}

/*
 * Opens the folder of given identities by its path each time, because systemd mounts another one over it at a reload.
 * Returns -1 with errno if it fails.
 */
static int open_given(const struct identity_store *store) {
    errno = ENOENT;
    return store->credentials ? open(store->credentials, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

int identity_store_open(struct identity_store *store, const char *state, const char *credentials) {
    *store =
        (struct identity_store){.state = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .credentials = credentials};
    if (store->state < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name another with --state", state, strerror(errno));
        return EX_NOINPUT;
    }
    if (!make_room(store)) {
        log_line(LOG_LEVEL_ERROR, "identities: out of memory");
        identity_store_dispose(store);
        return EX_OSERR;
    }
    load_each(store, store->state, load_kept);
    int folder = open_given(store);
    /* If ImportCredential= found nothing, systemd 254 names a folder that it did not make: then none were given. */
    if (folder >= 0 || errno == ENOENT) {
        if (folder >= 0) {
            load_each(store, folder, load_given);
            close(folder);
        }
        for (size_t i = 0; i < store->count; i++)
            identity_file_serve(store->list[i], IDENTITY_STORE_FOUND);
        return EX_OK;
    }
    log_line(LOG_LEVEL_ERROR, "credentials folder %s: %s; check $CREDENTIALS_DIRECTORY", credentials, strerror(errno));
    identity_store_dispose(store);
    return EX_NOINPUT;
}

/*
 * An identity whose file is gone (-1: the folder is gone) stays in use: systemd skips a credential that it cannot
 * decrypt, and clients would then see another key.
 */
static void tell_of_gone(const struct identity_store *store, int folder) {
    for (size_t i = 0; i < store->count; i++) {
        const struct identity_file *held = store->list[i];
        struct stat about;
        if (held->given && !held->former && !held->problem &&
            (folder < 0 || fstatat(folder, held->file, &about, AT_SYMLINK_NOFOLLOW) < 0))
            log_line(LOG_LEVEL_WARNING,
                     "identity %s: %s is gone; the version read earlier stays in use until the key process restarts",
                     held->host, held->file);
    }
}

void identity_store_refresh(struct identity_store *store) {
    int folder = open_given(store);
    if (folder < 0 && errno != ENOENT) {
        log_line(LOG_LEVEL_ERROR, "credentials folder %s: %s; identities read from it stay in use", store->credentials,
                 strerror(errno));
        return;
    }
    if (folder >= 0)
        load_each(store, folder, load_given);
    tell_of_gone(store, folder);
    if (folder >= 0)
        close(folder);
}

/* ---- which host uses which identity ---- */

static const char made[] = "identity %s: made; clients remember it from their first visit";

/* Makes an identity and writes it to disk before anybody can pin it. */
static struct identity_file *make(struct identity_store *store, const char *host) {
    char pem[IDENTITY_PEM_MAX], name[IDENTITY_FILE_NAME_MAX + 1];
    identity_file_name(host, name);
    size_t size = identity_make(host, pem);
    int result = size > 0 ? atomic_file_create(store->state, name, pem, size) : 0;
    bool stored = size > 0 && (result == 0 || result == -EEXIST);
    if (size == 0)
        log_line(LOG_LEVEL_ERROR, "identity %s: making a key failed", host);
    else if (!stored)
        log_line(LOG_LEVEL_ERROR, "identity %s: cannot write %s to the state folder: %s", host, name,
                 strerror(-result));
    else
        log_line(LOG_LEVEL_NOTICE, made, host);
    explicit_bzero(pem, sizeof pem);
    return stored ? load(store, store->state, name, false) : NULL;
}

/* Does the host have an identity, or anything that could be one? */
static bool is_known(const struct identity_store *store, const char *host) {
    char name[IDENTITY_FILE_NAME_MAX + 1];
    return find_own(store, host, true) || find_own(store, host, false) || find_match(store, host) ||
           identity_file_path(store->state, host, IDENTITY_FILE_PRESENT, name);
}

void identity_store_prepare(struct identity_store *store, const char *host) {
    char pem[IDENTITY_PEM_MAX];
    if (!identity_file_is_host(host) || is_known(store, host))
        return;
    struct identity_store_prepared *list =
        reallocarray(store->prepared, store->prepared_count + 1, sizeof *store->prepared);
    if (!list)
        return;
    store->prepared = list;
    struct identity_store_prepared *one = &list[store->prepared_count];
    one->host = strdup(host);
    size_t size = one->host ? identity_make(host, pem) : 0;
    if (size > 0 && vitrine_random_block((unsigned char *)&one->number, sizeof one->number) == 0 &&
        atomic_file_prepare(store->state, one->number, pem, size) == 0)
        store->prepared_count++;
    else
        free(one->host);
    explicit_bzero(pem, sizeof pem);
}

static void forget_prepared(struct identity_store *store) {
    for (size_t i = 0; i < store->prepared_count; i++)
        free(store->prepared[i].host);
    free(store->prepared);
    store->prepared = NULL;
    store->prepared_count = 0;
}

/*
 * Puts the prepared identities in place: from now on, clients may see them. If that fails for one, it is tried again
 * when its host needs it, and then logged.
 */
static void settle(struct identity_store *store) {
    char name[IDENTITY_FILE_NAME_MAX + 1];
    if (store->prepared_count == 0)
        return;
    bool synced = atomic_file_settle(store->state) == 0;
    for (size_t i = 0; i < store->prepared_count; i++) {
        identity_file_name(store->prepared[i].host, name);
        if (!synced)
            atomic_file_drop(store->state, store->prepared[i].number);
        else if (atomic_file_put(store->state, store->prepared[i].number, name) == 0)
            log_line(LOG_LEVEL_NOTICE, made, store->prepared[i].host);
    }
    fsync(store->state);
    forget_prepared(store);
}

/* Is the identity from the file of this name, as that file is now? */
static bool is_current(const struct identity_store *store, const struct identity_file *held, const char *name) {
    return strcmp(held->file, name) == 0 && !identity_file_is_stale(held, store->state);
}

/* Returns the identity in the state folder, in its current version. NULL: there is none. */
static struct identity_file *find_kept(struct identity_store *store, const char *host) {
    struct identity_file *kept = find_own(store, host, false);
    char name[IDENTITY_FILE_NAME_MAX + 1];
    identity_file_name(host, name);
    /* The usual case needs no search: the file of the name that comes before the other spelling is there, unchanged. */
    if (kept && !kept->problem && is_current(store, kept, name))
        return kept;
    bool is_there = identity_file_path(store->state, host, IDENTITY_FILE_PRESENT, name);
    if (kept && is_there && is_current(store, kept, name))
        return kept;
    if (kept)
        retire(store, kept);
    return is_there ? load(store, store->state, name, false) : NULL;
}

/* Logs what may confuse an administrator who has made or given more than one. */
static void tell(const char *host, const struct identity_file *own, const struct identity_file *kept,
                 const struct identity_file *matching) {
    char credential[IDENTITY_FILE_NAME_MAX + 1];
    identity_file_credential(host, credential);
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

const struct identity *identity_store_provide(struct identity_store *store, const char *host, bool *unusable) {
    *unusable = false;
    if (!identity_file_is_host(host)) {
        if (strlen(host) > IDENTITY_FILE_HOST_MAX)
            log_line(LOG_LEVEL_WARNING,
                     "keys: refused a request for an identity: the host name has %zu bytes; %zu at most, since a file "
                     "is named after it",
                     strlen(host), IDENTITY_FILE_HOST_MAX);
        else
            log_line(LOG_LEVEL_WARNING, "keys: refused a request for an identity: not a valid host name");
        return NULL;
    }
    settle(store);
    struct identity_file *own = find_own(store, host, true), *kept = find_kept(store, host);
    struct identity_file *matching = find_match(store, host);
    struct identity_file *chosen = own ? own : kept ? kept : matching;
    if (!chosen && !(chosen = make(store, host)))
        return NULL;
    const char *problem = chosen->problem;
    *unusable = true;
    if (!problem && chosen == own && identity_file_match(own, host) == CERTIFICATE_OTHER)
        problem = "its certificate is for other hosts; install one with this host as subject alternative name";
    if (problem) {
        bool told = chosen == own &&
                    chosen->told; /* it was logged just now, when it was loaded; the next reload logs it again */
        chosen->told = false;
        if (!told)
            log_line(LOG_LEVEL_ERROR, "identity %s: %s %s cannot be used: %s", host,
                     chosen->given ? "credential" : "file", chosen->file, problem);
        return NULL;
    }
    *unusable = false;
    tell(host, own, kept, matching);
    chosen->used = true;
    identity_file_warn(chosen);
    return &chosen->identity;
}

void identity_store_warn(const struct identity_store *store) {
    for (size_t i = 0; i < store->count; i++) {
        if (store->list[i]->used && !store->list[i]->former)
            identity_file_warn(store->list[i]);
    }
}

bool identity_store_holds_only(const struct identity_store *store, const char *host) {
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->list[i]->host, host) != 0)
            return false;
    }
    return true;
}

void identity_store_dispose(struct identity_store *store) {
    for (size_t i = 0; i < store->count; i++)
        identity_file_dispose(store->list[i]);
    free(store->list);
    free(store->of_host);
    free(store->of_key);
    for (size_t i = 0; i < store->prepared_count; i++)
        atomic_file_drop(store->state, store->prepared[i].number);
    forget_prepared(store);
    if (store->state >= 0)
        close(store->state);
    *store = (struct identity_store){.state = -1};
}
