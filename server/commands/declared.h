/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The media type and charset that clients get for a file, for `vitrine check`. */

#include <stdbool.h>

#include "content/reply.h"

/*
 * Writes the media type of a file, from its ending and the metadata files. Ignores access lists. folder: the content
 * folder. path: in that folder, beginning with the capsule's name. Returns false if a metadata file replaces the file
 * with a header whose status is not 20.
 */
bool declared_type(int folder, const char *path, char type[static REPLY_META_MAX + 1]);

/*
 * Returns the charset of a media type (RFC 2046, section 4.1.2), with the text after it; NULL if there is none. Pure.
 */
const char *declared_charset(const char *type);

/* Can text with this charset be read as UTF-8? NULL counts as UTF-8, as it does for clients. Pure. */
bool declared_is_utf8(const char *charset);
