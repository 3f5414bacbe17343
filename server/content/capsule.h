/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A request to a reply: what lies in the content folder. DIR/HOST/ is the capsule of HOST, a symbolic link beside it is
 * an alias, DIR/default serves addresses.
 */

#include <stdbool.h>
#include <stddef.h>

#include "client.h"
#include "reply.h"
#include "request.h"

/* The content folder, opened once. */
struct capsules {
    int folder;           /* O_PATH; no name outside of it can be reached through this struct */
    const char *language; /* of text/gemini pages without one of their own, or NULL; the caller's */
    const char *only;     /* the capsule that answers for every host, or NULL: each its own; the caller's */
};

/*
 * Opens the content folder. Returns 0, or -errno (no such folder, no right to read it, not a folder); .folder is -1
 * then.
 */
int capsules_open(struct capsules *capsules, const char *folder);

/* Closes the content folder. */
void capsules_close(struct capsules *capsules);

/*
 * Is there a capsule for this host (lower case; an address counts for `default`)? International names are found in
 * either spelling (hostname.h).
 * Names that begin with a dot or hold a slash never are.
 */
bool capsules_serve(const struct capsules *capsules, const char *host, bool host_is_address);

/*
 * Answers a valid request. Never blocks on what lies in the folder: FIFOs, devices, sockets, unreadable files, links
 * that lead out of the content folder and dotfiles (`.well-known` aside) are STATUS_NOT_FOUND.
 * A folder without its slash is STATUS_REDIRECT_PERMANENT to the name with it (one hop, relative to the host, encoded,
 * query kept); a folder's page is index.gmi, then index.gemini, then, where the folder holds `.directory-listing-ok`, a
 * listing with that file's content before it. What the owner's other files say is in path_rules.h. A host that is not
 * served is STATUS_PROXY_REQUEST_REFUSED. Descriptors running out are STATUS_SERVER_UNAVAILABLE. The caller owns what
 * the reply holds: reply_dispose. client: who asks; its name is filled in.
 */
void capsules_answer(const struct capsules *capsules, const struct request *request, struct client *client,
                     struct reply *reply);

/*
 * Calls `each` once for every host in the content folder (folders and links to folders; no dotfiles), in sorted order.
 * Returns how many there were, or -errno.
 */
int capsules_each_host(const struct capsules *capsules, void (*each)(const char *host, void *context), void *context);
