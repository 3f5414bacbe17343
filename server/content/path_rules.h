/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What the owner's own files say about a path of a capsule: who may enter (`.access`), and what is said of a file or in
 * place of it (`.meta`). They are looked for in each folder on the way to it.
 *
 * A capsule may have several authors, so rules follow the place where a file really is: each folder that is entered on
 * the way must admit the client, whether a link leads through it or not, and links do not leave their capsule. Only
 * links directly in the content folder, which is the administrator's, may lead to any place in it.
 *
 * They are read at each request: what the owner changes counts at once. Faults are logged once for each version of a
 * file.
 */

#include <stdbool.h>

#include "client.h"
#include "common/beneath.h"
#include "metafile.h"
#include "reply.h"
#include "request.h"

/* A client on the way to something in a capsule. */
struct lookup {
    int content; /* the content folder */
    struct client *client;
    struct reply *reply;
    bool refused; /* the reply says why */
    struct beneath_path path;
    bool has_metadata[BENEATH_PATH_SIZE + 1]; /* of a folder that was entered, by the length of its path */
};

/* Makes ready to go a way. content: the content folder, the caller's. path_rules_leave is due in the end. */
void path_rules_begin(struct lookup *lookup, int content, struct client *client, struct reply *reply);

/*
 * Goes to a folder, or opens a file. path: the capsule's name, a slash and a path in it, decoded; of a folder with a
 * slash at its end. Each access list on the way must admit the client; the innermost one names them. Where one does
 * not, `refused` is set and the reply says why: without a certificate STATUS_CERTIFICATE_REQUIRED, with an invalid one
 * STATUS_CERTIFICATE_NOT_VALID, else STATUS_CERTIFICATE_NOT_AUTHORISED; a list that cannot be read lets nobody in:
 * STATUS_TEMPORARY_FAILURE, or STATUS_SERVER_UNAVAILABLE while there is no descriptor for it.
 * Returns 0 or a descriptor (the caller's to close), or -errno as beneath_follow. way->path then says where it leads.
 */
int path_rules_enter(struct lookup *lookup, const char *path);
int path_rules_open(struct lookup *lookup, const char *path, int flags);

/* Asks the list of the folder that path_rules_open opened last, too. */
bool path_rules_admit_to_folder(struct lookup *lookup, int folder);

/*
 * Does the way lead through a name that begins with a dot, wherever a link hid it? `.well-known` in the capsule's root
 * is public (RFC 8615). So are names that begin with two dots: orchestrators keep versions of a folder in such ones and
 * link to what is in them.
 */
bool path_rules_is_private(const struct lookup *lookup);

/* Closes what a way holds open. It may be called again. */
void path_rules_leave(struct lookup *lookup);

/*
 * The rule for what way->path.text names (of a folder its page): of the innermost metadata file that has one, among the
 * folders that were entered. NULL: none. The rule lives as long as `meta`, which the caller disposes of in both cases.
 */
const struct metafile_rule *path_rules_find(const struct lookup *lookup, struct metafile *meta);

/*
 * Reads a small file in the content folder; a link must not lead out of its capsule. Returns its length and *text
 * (malloc, the caller's, a NUL behind it), or -errno: -ENOENT also where the capsule or a folder is missing, -EFBIG
 * above `most` bytes, -EINVAL for what is not a regular file.
 */
long path_rules_read(int content, const char *path, size_t most, char **text);
