/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Small pages that are kept in memory (kept.h), each with everything that it depends on: its folders, the metadata on
 * its path, the file. A page is sent from memory only if all of these are unchanged (trail.h), so a change takes effect
 * at once, or after KEPT_SECONDS if it left no sign. Recently changed pages are not kept, because they could change
 * again without a sign.
 *
 * Pages below an access list are never kept.
 */

#include <stdbool.h>

#include "reply.h"
#include "trail.h"

#define PAGE_CACHE_BODY 16384 /* bytes of a page, at most */

/*
 * Sets the reply to the page that is kept for this path, if it is still valid. path: the capsule's name, and the path
 * as requested.
 */
bool page_cache_find(int content, const char *path, size_t length, struct reply *reply);

/*
 * Reads a small page into memory and keeps it. trail: what the lookup depended on, including the file. owner: see
 * kept.h. The reply then has a text instead of the file; it does not change if the page cannot be kept.
 */
void page_cache_keep(const char *path, size_t length, const struct trail *trail, uint64_t owner, struct reply *reply);
