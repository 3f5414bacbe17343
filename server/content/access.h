/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Access lists (`.access`): who may enter a folder and all beneath it. Pure: text to entries, a client to a name.
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

#define ACCESS_FILE_MAX 65536 /* bytes; what is longer is no access list */

struct access_entry {
    char fingerprint[CLIENT_FINGERPRINT + 1]; /* lower-case hexadecimal */
    char name[CLIENT_NAME_MAX + 1];           /* or "" */
};

/* An access list that has been read. All zero: one that admits nobody. */
struct access_list {
    struct access_entry *entries;
    size_t count;
};

/*
 * Reads an access list. text: `length` bytes, need not end with NUL, not kept.
 * Lines with a fault are reported and admit nobody, the others still count.
 * Returns how many faults there were, or -errno: -ENOMEM, -EFBIG above ACCESS_FILE_MAX. On error the list is all zero.
 * The caller owns the list: access_dispose.
 */
int access_parse(struct access_list *list, const char *text, size_t length, text_fault *fault, void *context);

/* The name of the client with this fingerprint (lower-case hexadecimal), "" if the list has none; NULL: not admitted.
 */
const char *access_find(const struct access_list *list, const char *fingerprint);

/* Gives the memory back. Safe on a list that is all zero or already disposed of. */
void access_dispose(struct access_list *list);
