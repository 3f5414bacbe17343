/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Media types by file name. The table comes from the distribution's media-types package at build time; text/gemini for
 * .gmi and .gemini (Gemini best practices) takes precedence.
 */

/*
 * Returns the media type for the ending of a file name (case does not matter), e.g. "text/gemini";
 * "application/octet-stream" if the ending is unknown, never NULL. Static memory.
 */
const char *media_type(const char *name);
