/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Access lists (`.access`): who may enter a folder and everything below it. Pure: text to entries, a client to a name.
 *
 *   # a comment line
 *   1f4d...9a60 Ada                   the SHA-256 of the client's certificate, in DER, and what the log calls them
 *   sha256:1F:4D:...:9A:60 Ada        the same, as other tools print it
 *   1f4d...9a60                       somebody without a name
 */

#include <stdbool.h>
#include <stddef.h>

#include "client.h"
#include "common/text.h"

#define ACCESS_FILE_MAX 65536 /* bytes; a longer file is not an access list */

struct access_entry {
    char fingerprint[CLIENT_FINGERPRINT + 1]; /* lower-case hexadecimal */
    char name[CLIENT_NAME_MAX + 1];           /* or "" */
};

/* A parsed access list. All zero: admits nobody. */
struct access_list {
    struct access_entry *entries;
    size_t count;
};

/*
 * Reads an access list. text: `length` bytes, need not end with NUL, not kept. Faulty lines are reported and admit
 * nobody; the others still apply. Returns the number of faults, or -errno: -ENOMEM, -EFBIG above ACCESS_FILE_MAX. On
 * error the list is all zero. The caller frees the list with access_dispose.
 */
int access_parse(struct access_list *list, const char *text, size_t length, text_fault *fault, void *context);

/*
 * Returns the name of the client with this fingerprint (lower-case hexadecimal), "" if the list gives none; NULL if the
 * client is not admitted.
 */
const char *access_find(const struct access_list *list, const char *fingerprint);

/* Frees the memory. Safe on a list that is all zero or already disposed of. */
void access_dispose(struct access_list *list);
