/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The identities that the key process holds: made ones in the state folder, and given ones among the credentials.
 * What is there and cannot be used is told and never replaced.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity.h"

struct keyring {
    struct identity **identities; /* each in memory of its own, so that pointers to it stay good */
    size_t count;
    int state; /* the state folder */
};

/*
 * Opens the state folder and loads what it holds: after a restart workers go on asking for identities that they know
 * already. Returns 0, or EX_NOINPUT after logging one sentence.
 */
int keyring_open(struct keyring *keyring, const char *state);

/*
 * The identity of a host, made when there is none. NULL after logging why there is none, or when the text cannot be
 * the name of a host. It belongs to the keyring.
 */
const struct identity *keyring_provide(struct keyring *keyring, const char *host);

/* The identity whose key has this name (signing.h), or NULL. */
const struct identity *keyring_find_key(const struct keyring *keyring, const uint8_t key[static SIGNING_KEY_NAME]);

/* Wipes all keys and gives everything back. */
void keyring_dispose(struct keyring *keyring);
