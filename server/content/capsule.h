/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Turns a request into a response from the content folder. DIR/HOST/ is the capsule of HOST, a symbolic link beside it
 * is an alias, DIR/default serves addresses.
 */

#include <stdbool.h>
#include <stddef.h>

#include "client.h"
#include "reply.h"
#include "request.h"

/* The content folder, opened once. */
struct capsules {
    int folder;           /* O_PATH; nothing outside of it can be reached through this struct */
    const char *language; /* of text/gemini pages without one of their own, or NULL; the caller owns it */
    const char *only;     /* the capsule for every host, or NULL: each host its own; the caller owns it */
};

/*
 * Opens the content folder. Returns 0, or -errno (it does not exist, cannot be read, or is not a folder); .folder is
 * then -1.
 */
int capsules_open(struct capsules *capsules, const char *folder);

/* Closes the content folder. */
void capsules_close(struct capsules *capsules);

/*
 * Is there a capsule for this host (lower case; an address counts as `default`)? International names are found in
 * either spelling (hostname.h). Names that begin with a dot or contain a slash never have a capsule.
 */
bool capsules_serve(const struct capsules *capsules, const char *host, bool host_is_address);

/*
 * Responds to a valid request. Never blocks on a file: FIFOs, devices, sockets, unreadable files, links that lead out
 * of the content folder and dotfiles (except `.well-known`) give STATUS_NOT_FOUND. A folder without its slash gives
 * STATUS_REDIRECT_PERMANENT to the name with it (one hop, relative to the host, encoded, query kept). A folder's page
 * is index.gmi, then index.gemini, then, if the folder has `.directory-listing-ok`, a listing with that file's content
 * before it. path_rules.h describes the owner's other files. A host that is not served gives
 * STATUS_PROXY_REQUEST_REFUSED. A lack of descriptors gives STATUS_SERVER_UNAVAILABLE. The caller frees the reply with
 * reply_dispose. client: sets its name.
 */
void capsules_answer(const struct capsules *capsules, const struct request *request, struct client *client,
                     struct reply *reply);

/*
 * Calls `each` once for every host in the content folder (folders and links to folders; no dotfiles), in sorted order.
 * Returns how many there are, or -errno.
 */
int capsules_each_host(const struct capsules *capsules, void (*each)(const char *host, void *context), void *context);
