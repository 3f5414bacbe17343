/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The page of a folder that has none of its own: a list of what lies in it, as gemtext. Pure: knows no folder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* What lies in a folder. */
struct listing_entry {
    const char *name;
    bool is_folder;
    uint64_t size;   /* bytes of a file */
    time_t modified; /* shown as a date in UTC */
};

/*
 * Writes the listing: what the owner wants said first, then a link for each entry: folders, then files, each in the
 * order of their bytes, with size and date of files. Left out are names that begin with a dot and names that no client
 * can ask for (controls, no UTF-8). The entries are put in order in place.
 * preamble: text of the owner, length bytes, or NULL and 0; `path` is then the heading.
 * path: of the folder in its capsule, decoded, with slashes at both ends.
 * *page: the text, malloc, without NUL at its end, the caller's to free. Returns its length in bytes, or -ENOMEM.
 */
long listing_write(char **page, const char *path, const char *preamble, size_t length, struct listing_entry *entries,
                   size_t count);
