/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Reads an owner's file with rules (`.access`, `.meta`) in a folder that a lookup has just entered, through the
 * folder's descriptor. A link is followed, but must not lead out of its capsule. Faults are logged once for each
 * version of a file, and their number is limited, so that authors cannot fill the log.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "common/beneath.h"
#include "trail.h"

#define RULES_FILE_FAULTS 8   /* logged per file; `vitrine check` shows all */
#define RULES_FILES_HOURLY 64 /* files whose faults a worker logs per hour */

struct rules_file {
    char path[BENEATH_PATH_SIZE + 16]; /* in the content folder */
    struct stat status;                /* of the file, or of a link to it that cannot be followed */
    unsigned faults;                   /* reported so far */
    bool is_news;                      /* the faults were not logged before */
};

/*
 * Looks for a file in a folder. path: of the folder, `length` bytes with a slash at the end. Returns 1 if it exists
 * (its status is that of the name, not of what a link leads to), 0 if it does not, also if nothing in the folder can be
 * reached, or -errno if that cannot be known.
 */
int rules_file_find(struct rules_file *file, int folder, const char *path, size_t length, const char *name);

/*
 * Reads a file that was found in this folder. trail: NULL, or records the folders that a link passes through, and its
 * target. Returns the length and *text (malloc, with a NUL after it; the caller frees it), or -errno: -EFBIG above
 * `most` bytes, -EINVAL if it is not a regular file.
 */
long rules_file_read(struct rules_file *file, int content, int folder, size_t most, struct trail *trail, char **text);

/* Logs a fault in a file. A text_fault; context: the struct rules_file. */
void rules_file_report(unsigned line, const char *problem, void *context);
