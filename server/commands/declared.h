/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What a file's clients are told that it is, for `vitrine check`. */

#include <stdbool.h>

#include "content/reply.h"

/*
 * Writes the media type of a file: by its ending, and what metadata files say of it. Who may have the file is not
 * asked. folder: the content folder. path: in it, beginning with the capsule's name. Returns false where a metadata
 * file puts a header of another status than 20 in the file's place.
 */
bool declared_type(int folder, const char *path, char type[static REPLY_META_MAX + 1]);

/* The charset of a media type (RFC 2046, section 4.1.2), with what follows it; NULL: it says none. Pure. */
const char *declared_charset(const char *type);

/* Can text with this charset be taken for UTF-8? NULL counts as UTF-8, as clients take it. Pure. */
bool declared_is_utf8(const char *charset);
