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

#include "log.h"
#include "store.h"

static struct identity *identity_of_host(const struct keyring *keyring, const char *host) {
    for (size_t i = 0; i < keyring->count; i++) {
        if (strcmp(keyring->identities[i]->public.host, host) == 0)
            return keyring->identities[i];
    }
    return NULL;
}

const struct identity *keyring_find_key(const struct keyring *keyring, const uint8_t key[static SIGNING_KEY_NAME]) {
    for (size_t i = 0; i < keyring->count; i++) {
        if (memcmp(keyring->identities[i]->public.key, key, SIGNING_KEY_NAME) == 0)
            return keyring->identities[i];
    }
    return NULL;
}

static struct identity *add(struct keyring *keyring, const struct identity *identity) {
    struct identity **identities = reallocarray(keyring->identities, keyring->count + 1, sizeof *identities);
    struct identity *added = malloc(sizeof *added);
    if (identities)
        keyring->identities = identities;
    if (!identities || !added) {
        free(added);
        return NULL;
    }
    *added = *identity;
    return identities[keyring->count++] = added;
}

/* Makes an identity and has it on disk before anybody can pin it. */
static bool make(const struct keyring *keyring, const char *host, const char *name) {
    char pem[IDENTITY_PEM_MAX];
    size_t size = identity_make(host, pem);
    bool stored = size > 0 && (store_create(keyring->state, name, pem, size) || errno == EEXIST);
    if (size == 0)
        log_line(LOG_LEVEL_ERROR, "identity %s: no key could be made for this host", host);
    else if (!stored)
        log_line(LOG_LEVEL_ERROR, "identity %s: %s cannot be written to the state folder: %s", host, name,
                 strerror(errno));
    else
        log_line(LOG_LEVEL_NOTICE, "identity %s: made, visitors pin it at their first visit", host);
    explicit_bzero(pem, sizeof pem);
    return stored;
}

/* The identity out of the state folder, made when there is none. What is there and cannot be used is never replaced. */
static struct identity *kept_identity(struct keyring *keyring, const char *host) {
    char name[CERTIFICATE_HOST_MAX + sizeof ".pem"];
    char *pem = NULL;
    struct identity identity, *kept = NULL;
    const char *problem = NULL;
    snprintf(name, sizeof name, "%s.pem", host);
    ssize_t size = store_read(keyring->state, name, &pem);
    if (size == -ENOENT) {
        if (!make(keyring, host, name))
            return NULL;
        size = store_read(keyring->state, name, &pem);
    }
    if (size < 0)
        problem = strerror((int)-size);
    else
        problem = identity_load(&identity, host, pem, NULL);
    if (problem)
        log_line(LOG_LEVEL_ERROR, "identity %s: %s in the state folder cannot be used: %s; put it back from a backup",
                 host, name, problem);
    else if (!(kept = add(keyring, &identity)))
        identity_dispose(&identity);
    if (pem)
        explicit_bzero(pem, (size_t)(size > 0 ? size : 0));
    free(pem);
    return kept;
}

/* A host is part of a file's name here: no dots in front, no slashes, nothing that is no name. */
static bool is_host(const char *host) {
    size_t length = strlen(host);
    if (length == 0 || length > 250 || host[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || host[i] == '/')
            return false;
    }
    return true;
}

/* Is this the file of an identity? Then its host is copied. */
static bool host_of_file(const char *name, char host[static CERTIFICATE_HOST_MAX + 1]) {
    static const char ending[] = ".pem";
    size_t length = strlen(name);
    if (length < sizeof ending || length - (sizeof ending - 1) > CERTIFICATE_HOST_MAX)
        return false;
    length -= sizeof ending - 1;
    memcpy(host, name, length);
    host[length] = '\0';
    return strcmp(name + length, ending) == 0 && is_host(host);
}

static void load_all(struct keyring *keyring) {
    int copy = dup(keyring->state);
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    if (!folder) {
        if (copy >= 0)
            close(copy);
        return;
    }
    while ((entry = readdir(folder))) {
        char host[CERTIFICATE_HOST_MAX + 1];
        if (host_of_file(entry->d_name, host))
            kept_identity(keyring, host);
    }
    closedir(folder);
}

int keyring_open(struct keyring *keyring, const char *state) {
    *keyring = (struct keyring){.state = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (keyring->state < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name one with --state", state, strerror(errno));
        return EX_NOINPUT;
    }
    load_all(keyring);
    return EX_OK;
}

const struct identity *keyring_provide(struct keyring *keyring, const char *host) {
    if (!is_host(host)) {
        log_line(LOG_LEVEL_WARNING, "keys: asked for an identity of what is no host; refused");
        return NULL;
    }
    struct identity *identity = identity_of_host(keyring, host);
    return identity ? identity : kept_identity(keyring, host);
}

void keyring_dispose(struct keyring *keyring) {
    for (size_t i = 0; i < keyring->count; i++) {
        identity_dispose(keyring->identities[i]);
        free(keyring->identities[i]);
    }
    free(keyring->identities);
    if (keyring->state >= 0)
        close(keyring->state);
    *keyring = (struct keyring){.state = -1};
}
