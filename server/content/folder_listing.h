/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The listing of a folder in a capsule. Its cost is bounded, so that nobody can keep a worker busy with listings: names
 * are looked up in the folder itself, every name counts (even one that is not listed), and a finished listing is cached
 * for a moment.
 */

#include "path_rules.h"
#include "reply.h"

#define FOLDER_LISTING_NAMES 4096   /* names that are looked at; a longer listing is of no use to a reader */
#define FOLDER_LISTING_MAX 393216   /* bytes of a listing; it leaves out what does not fit, and says so */
#define FOLDER_LISTINGS_MAX 1048576 /* bytes of all listings that a worker caches or sends */
#define FOLDER_LISTING_SECONDS 2    /* how long a listing is cached: its sizes and dates can be that old */

/*
 * Sets the text of a reply to the listing of the folder that was entered last; the caller has checked access. path: the
 * folder as the client asked for it, with slashes at both ends; it is the heading if the owner gives none. Leaves out
 * everything that cannot be requested under its name: anything that is neither a file nor a folder, unreadable files,
 * links that lead out of the capsule or to nothing, and links into folders with their own access list. Returns 0, or
 * -errno: -ENOENT if the folder has no `.directory-listing-ok`, -EAGAIN while too many other listings are being sent.
 */
int folder_listing(const struct lookup *lookup, const char *path, struct reply *reply);

/* Returns the bytes of all listings that are cached or sent. */
size_t folder_listing_total(void);
