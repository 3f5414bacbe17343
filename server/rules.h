/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What the owner's own files say about a path of a capsule: who may enter (`.access`), and what is said of a file or in
 * place of it (`.meta`). They are looked for in each folder on the way from the capsule's root to the path.
 *
 * They are read at each request: what the owner changes counts at once. Faults are logged once for each version of a
 * file.
 */

#include <stdbool.h>

#include "meta.h"
#include "reply.h"
#include "request.h"
#include "visitor.h"

#define RULES_PATH_MAX (REQUEST_HOST_MAX + REQUEST_URI_MAX + 16) /* bytes of a capsule's name and a path in it */

/* What was found on the way to a path, so that its folders are opened once: most of them hold neither list nor metadata. */
struct way {
    int folder;    /* the innermost folder that was reached; -1: none */
    size_t length; /* of its path, capsule first, with its slash */
    /* Behind the slash of a folder: it was reached, and may have a metadata file. */
    bool has_metadata[RULES_PATH_MAX];
};

/*
 * Goes the way to a path. May the visitor have what lies there? Each access list on the way must admit them. If so,
 * true, and the visitor's name is that of the innermost list. If not, the reply says why: without a certificate
 * STATUS_CERTIFICATE_REQUIRED, with an invalid one STATUS_CERTIFICATE_NOT_VALID, else
 * STATUS_CERTIFICATE_NOT_AUTHORISED; a list that cannot be read lets nobody in: STATUS_TEMPORARY_FAILURE.
 * folder: the content folder. capsule: its folder's name. path: begins with a slash, decoded; when it names a folder
 * without its slash, that one's own list is not asked. way: rules_leave is due in every case.
 */
bool rules_admit(int folder, const char *capsule, const char *path, struct visitor *visitor, struct reply *reply,
                 struct way *way);

/* The same for one folder alone. path: capsule first, with the folder's slash. */
bool rules_admit_to_folder(int folder, const char *path, struct visitor *visitor, struct reply *reply);

/* Closes what a way holds open. It may be called again. */
void rules_leave(struct way *way);

/*
 * The rule for a path: of the innermost metadata file that has one. NULL: none. path as above, naming a file (of a
 * folder its page), on a way that rules_admit went. The rule lives as long as `meta`, which the caller disposes of in
 * both cases.
 */
const struct meta_rule *rules_find(int folder, const char *capsule, const char *path, const struct way *way,
                                   struct meta *meta);

/*
 * Reads a small file beneath the content folder. Returns its length and *text (malloc, the caller's, a NUL behind it),
 * or -errno: -ENOENT also where the capsule or a folder is missing, -EFBIG above `most` bytes, -EINVAL for what is no
 * regular file.
 */
long rules_read(int folder, const char *path, size_t most, char **text);
