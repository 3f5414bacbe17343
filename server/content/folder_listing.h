/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The listing of a folder in a capsule. Making one costs what it shows: names are looked up in the folder itself, every
 * name counts, also of what is not listed, and a listing that was made is kept for a moment, so that nobody can keep a
 * worker busy with it.
 */

#include "path_rules.h"
#include "reply.h"

#define FOLDER_LISTING_NAMES 4096   /* that are looked at; a longer listing is no use to a reader */
#define FOLDER_LISTING_MAX 393216   /* bytes of a listing; what does not fit is left out, and the listing says so */
#define FOLDER_LISTINGS_MAX 1048576 /* bytes of all listings that a worker keeps or is sending */
#define FOLDER_LISTING_SECONDS 2    /* a listing is kept: sizes and dates in it may be as old as that */

/*
 * Sets the text of a reply to the listing of the folder that was entered last, which the client may have.
 * path: of the folder as the client asked for it, with slashes at both ends; the heading where the owner gives none.
 * Left out is what cannot be had under this name: what is neither a file nor a folder, or not readable, links that lead
 * out of the capsule or to nothing, and links into folders with an access list of their own. Returns 0, or -errno:
 * -ENOENT if the folder does not hold `.directory-listing-ok`, -EAGAIN while too many other listings are under way.
 */
int folder_listing(const struct lookup *lookup, const char *path, struct reply *reply);
