/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Writes the listing of a folder as gemtext. Pure: does not read the folder. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* One entry of a folder. */
struct listing_entry {
    const char *name;
    bool is_folder;
    uint64_t size;   /* bytes of a file */
    time_t modified; /* shown as a date in UTC */
};

/*
 * Writes the listing: the owner's preamble, then a link for each entry: folders first, then files with size and date,
 * both sorted by their bytes. Leaves out names that begin with a dot and names that no client can ask for (control
 * characters, not UTF-8). Sorts the entries in place. preamble: the owner's text, length bytes, or NULL and 0; then
 * `path` is the heading. path: the folder in its capsule, decoded, with slashes at both ends. *page: the text (malloc,
 * without a NUL), which the caller frees. Returns its length in bytes, or -ENOMEM.
 */
long listing_write(char **page, const char *path, const char *preamble, size_t length, struct listing_entry *entries,
                   size_t count);
