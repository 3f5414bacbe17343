/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Media types by file name. The table comes from the distribution's media-types package and is baked in at build;
 * text/gemini for .gmi and .gemini (Gemini best practices) goes before it.
 */

/*
 * The media type for a file name, by its ending (case does not matter), e.g. "text/gemini"; never NULL:
 * "application/octet-stream" where the ending is unknown. Static memory.
 */
const char *media_type(const char *name);
