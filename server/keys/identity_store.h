/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The identities that the key process holds: made ones in the state folder, and given ones among the credentials, and
 * which of them is whose. What is there and cannot be used is told and never replaced.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity_file.h"

struct identity_store {
    struct identity_file **list;
    size_t count;
    int state;               /* the state folder */
    const char *credentials; /* the folder of what was given, or NULL; the caller's */
};

/*
 * Opens the state folder and loads what it holds, and what was given: after a restart workers go on asking for
 * identities that they know already. credentials: a folder, or NULL; its name has to live as long as the identity
 * store. Returns 0, or EX_NOINPUT after logging one sentence.
 */
int identity_store_open(struct identity_store *store, const char *state, const char *credentials);

/*
 * Reads given identities anew: new files, and files that have changed. A changed file that cannot be used, and one that
 * is gone, leave in use what was read before; the log tells of both. The key that was in use before signs on for
 * workers that do not know the new one yet.
 */
void identity_store_refresh(struct identity_store *store);

/*
 * The identity of a host (in the one spelling, hostname.h): the one given by its name; else the one made earlier, read
 * again when its file is another one by now; else a given one whose certificate names the host, or has a wildcard for
 * it; else one that is made now. NULL after logging why there is none, or when the text cannot be the name of a host;
 * *unusable: there is one that cannot be used. It belongs to the identity store.
 */
const struct identity *identity_store_provide(struct identity_store *store, const char *host, bool *unusable);

/*
 * Workers of this generation (certificate.h) serve an identity that identity_store_provide gave; by the name of its key
 * all that have it.
 */
void identity_store_serve(struct identity_store *store, const uint8_t key[static SIGNING_KEY_ID], uint64_t generation);

/*
 * The generation as which a worker has to be taken that is said to be of this one: IDENTITY_STORE_FOUND where no
 * identity is known to be served by it. Then it was another key process that provided what it serves, and all that was
 * found at the start may be that.
 */
#define IDENTITY_STORE_FOUND 1
uint64_t identity_store_generation(const struct identity_store *store, uint64_t generation);

/* The identity whose key has this name (signing.h), if workers of this generation serve it; else NULL. */
const struct identity *identity_store_find_key(const struct identity_store *store,
                                               const uint8_t key[static SIGNING_KEY_ID], uint64_t generation);

/* Warns of certificates that will soon end. To be called once a day. */
void identity_store_warn(const struct identity_store *store);

/* Is there no identity, usable or not, but that of this host? */
bool identity_store_holds_only(const struct identity_store *store, const char *host);

/* Wipes all keys and gives everything back. */
void identity_store_dispose(struct identity_store *store);
