/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The owner's rules for a path in a capsule: who may enter (`.access`), and the media type or header of a file
 * (`.meta`). They are looked for in each folder on the path.
 *
 * A capsule may have several authors. So the rules of the place where a file really is apply: each folder on the path
 * must admit the client, even if a link leads there, and links must not leave their capsule. Only links directly in the
 * content folder, which belongs to the administrator, may lead anywhere in it.
 *
 * Changes apply at once: access lists are read at each request, and parsed metadata is kept only while its file does
 * not change. Faults are logged once for each version of a file, within bounds (rules_file.h).
 */

#include <stdbool.h>

#include "client.h"
#include "common/beneath.h"
#include "metadata.h"
#include "reply.h"
#include "request.h"
#include "trail.h"

/* What a client asks for. All of it belongs to the caller. */
struct question {
    int content;          /* the content folder */
    const char *language; /* of text/gemini pages without one of their own, or NULL */
    const struct request *request;
    struct client *client;
    struct reply *reply; /* for the answer */
};

/* The lookup of a path for a client. */
struct lookup {
    const struct question *question;
    bool refused;      /* the reply says why */
    bool is_protected; /* a folder that was entered has an access list */
    struct beneath_path path;
    struct metadata metadata; /* the caller sets its names and wants_folder before it enters a folder */
    struct trail trail;       /* the folders that were entered and the metadata that was read */
};

/* Begins a lookup. question: must last as long; its request and language may be NULL. Call path_rules_leave in the end.
 */
void path_rules_begin(struct lookup *lookup, const struct question *question);

/*
 * Enters a folder, or opens a file. path: the capsule's name, a slash and a path in it, decoded; a folder has a slash
 * at the end. Each access list on the path must admit the client; the innermost one names the client. If one does not,
 * `refused` is set and the reply says why: STATUS_CERTIFICATE_REQUIRED without a certificate,
 * STATUS_CERTIFICATE_NOT_VALID with an invalid one, otherwise STATUS_CERTIFICATE_NOT_AUTHORISED. A list that cannot be
 * read admits nobody: STATUS_TEMPORARY_FAILURE, or STATUS_SERVER_UNAVAILABLE if there is no descriptor for it. Returns
 * 0 or a descriptor (which the caller closes), or -errno as beneath_follow. lookup->path then says where the path
 * leads.
 */
int path_rules_enter(struct lookup *lookup, const char *path);
int path_rules_open(struct lookup *lookup, const char *path, int flags);

/* Also checks the access list of the folder that path_rules_open opened last. */
bool path_rules_admit_to_folder(struct lookup *lookup, int folder);

/*
 * Does the path lead through a name that begins with a dot, even behind a link? `.well-known` in the capsule's root is
 * public (RFC 8615). So are names that begin with two dots: orchestrators keep versions of a folder under such names
 * and link to their contents.
 */
bool path_rules_is_private(const struct lookup *lookup);

/* Closes what a lookup holds open. Can be called more than once. */
void path_rules_leave(struct lookup *lookup);

/*
 * Returns the rule for what was asked for, from the innermost metadata file that has one, among the folders that were
 * entered. NULL: none. Valid until the lookup enters another folder.
 */
const struct metafile_rule *path_rules_find(const struct lookup *lookup, enum metadata_place place);

/*
 * Reads a small file in the content folder; a link must not lead out of its capsule. Returns its length and *text
 * (malloc, with a NUL after it; the caller frees it), or -errno: -ENOENT also if the capsule or a folder is missing,
 * -EFBIG above `most` bytes, -EINVAL if it is not a regular file.
 */
long path_rules_read(int content, const char *path, size_t most, char **text);
