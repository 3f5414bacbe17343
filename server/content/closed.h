/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Finds files and folders in the content folder that the server may not read. */

#include <stdbool.h>
#include <stddef.h>

#define CLOSED_LOOKS_MAX 20000 /* names to check in total: a start or a reload does not wait for more */
#define CLOSED_DEPTH_MAX 16    /* levels of folders */
#define CLOSED_PATH_SIZE 1024

struct closed {
    size_t count;                 /* closed files and folders; the contents of a closed folder are not counted */
    size_t looks;                 /* names that were checked */
    bool is_root;                 /* this process; a worker is then nobody */
    char first[CLOSED_PATH_SIZE]; /* one of them, relative to the content folder; empty if there is none */
};

/*
 * Searches the content folder (a descriptor, may be O_PATH). Skips links, and names that are never served. If this
 * process is root, closed means closed to everybody, since workers then run as nobody.
 */
void closed_find(struct closed *closed, int content);
