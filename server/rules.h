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
#include "visitor.h"

/*
 * May the visitor have what lies at this path? Each access list on the way must admit them. If so, true, and the
 * visitor's name is that of the innermost list. If not, the reply says why: without a certificate
 * STATUS_CERTIFICATE_REQUIRED, with an invalid one STATUS_CERTIFICATE_NOT_VALID, else
 * STATUS_CERTIFICATE_NOT_AUTHORISED; a list that cannot be read lets nobody in: STATUS_TEMPORARY_FAILURE.
 * folder: the content folder. capsule: its folder's name. path: begins with a slash, decoded.
 */
bool rules_admit(int folder, const char *capsule, const char *path, struct visitor *visitor, struct reply *reply);

/*
 * The rule for a path: of the innermost metadata file that has one. NULL: none. path as above, naming a file (of a
 * folder its page). The rule lives as long as `meta`, which the caller disposes of in both cases.
 */
const struct meta_rule *rules_find(int folder, const char *capsule, const char *path, struct meta *meta);

/*
 * Reads a small file beneath the content folder. Returns its length and *text (malloc, the caller's, a NUL behind it),
 * or -errno: -ENOENT also where the capsule or a folder is missing, -EFBIG above `most` bytes, -EINVAL for what is no
 * regular file.
 */
long rules_read(int folder, const char *path, size_t most, char **text);
