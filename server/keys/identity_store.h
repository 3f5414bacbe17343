/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The identities that the key process holds, and which host uses which: made ones in the state folder, given ones in
 * the credentials. An identity that cannot be used is reported and never replaced.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity_file.h"

struct identity_store_prepared {
    char *host;
    unsigned number; /* of its file (atomic_file.h) */
};

struct identity_store {
    struct identity_file **list; /* in the order in which they were loaded */
    size_t count, given_count;
    struct identity_file **of_host, **of_key; /* by the hash of host and key id: lists, the first one loaded last */
    size_t lists;                             /* in each of the two; a power of two */
    int state;                                /* the state folder */
    struct identity_store_prepared *prepared; /* identities that were made and are not in place yet */
    size_t prepared_count;
    const char *credentials; /* the folder of given identities, or NULL; the caller owns it */
};

/*
 * Opens the state folder and loads all made and given identities: after a restart, workers still ask for identities
 * that they know. credentials: a folder, or NULL; the string must live as long as the identity store. Returns 0, or
 * EX_NOINPUT or EX_OSERR (no memory) after logging one sentence.
 */
int identity_store_open(struct identity_store *store, const char *state, const char *credentials);

/*
 * Reads given identities again: new and changed files. If a changed file cannot be used, or a file is gone, the
 * identity read before stays in use, and this is logged. The previous key still signs for workers that do not know the
 * new one yet.
 */
void identity_store_refresh(struct identity_store *store);

/*
 * Returns the identity of a host (canonical, hostname.h): the one given under its name; otherwise the one made earlier,
 * read again if its file has changed; otherwise a given one whose certificate names the host or has a wildcard for it;
 * otherwise one that is made now. Returns NULL after logging why there is none, or if the text cannot be a host name;
 * *unusable: there is one that cannot be used. The identity store owns the result.
 */
const struct identity *identity_store_provide(struct identity_store *store, const char *host, bool *unusable);

/*
 * Announces that identity_store_provide will be called for this host. An identity that must be made is made now, and
 * written to disk with all others at the first such call, which also logs errors.
 */
void identity_store_prepare(struct identity_store *store, const char *host);

/*
 * Records that workers of this generation (certificate.h) serve an identity that identity_store_provide returned; this
 * applies to every identity with the key ID.
 */
void identity_store_serve(struct identity_store *store, const uint8_t key_id[static SIGNING_KEY_ID],
                          uint64_t generation);

/*
 * Returns the generation to use for a worker that claims this one: IDENTITY_STORE_FOUND if no identity is known to be
 * served by it. Then an earlier key process provided its identities, and they may be any of those found at the start.
 */
#define IDENTITY_STORE_FOUND 1
uint64_t identity_store_generation(const struct identity_store *store, uint64_t generation);

/* Returns the identity with this key id (signing.h), if workers of this generation serve it; otherwise NULL. */
const struct identity *identity_store_find_key(const struct identity_store *store,
                                               const uint8_t key_id[static SIGNING_KEY_ID], uint64_t generation);

/* Warns of certificates that expire soon. Call it once a day. */
void identity_store_warn(const struct identity_store *store);

/* Is there no identity, usable or not, except that of this host? */
bool identity_store_holds_only(const struct identity_store *store, const char *host);

/* Wipes all keys and frees everything. */
void identity_store_dispose(struct identity_store *store);
