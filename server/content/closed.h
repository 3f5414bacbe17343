/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What lies in the content folder and is closed to the server: files and folders whose owner kept others out. */

#include <stddef.h>

#define CLOSED_LOOKS_MAX 20000 /* so many names are looked at, in all: a start or a reload does not wait for more */
#define CLOSED_DEPTH_MAX 16    /* folders in folders */
#define CLOSED_PATH_SIZE 1024

struct closed {
    size_t count;                 /* what is closed; what lies in a closed folder is not counted */
    size_t looks;                 /* names that were looked at */
    char first[CLOSED_PATH_SIZE]; /* one of them, below the content folder; empty where there is none */
};

/*
 * Looks through the content folder (a descriptor, may be O_PATH). Names that are never served, and links, are passed
 * over. Where this process is root, closed means closed to everybody, since workers are nobody then.
 */
void closed_find(struct closed *closed, int content);
