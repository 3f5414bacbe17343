/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Parses the lines of text/gemini that `vitrine check` needs. Pure. */

#include <stdbool.h>
#include <stddef.h>

#define GEMTEXT_LINK_MAX 1025 /* bytes of an address: one more than a request can have, to notice longer ones */
#define GEMTEXT_URI_MAX 2560  /* bytes of an address, after the host and folder of its page are put before it */

/* State between lines. All zero at the start of a page. */
struct gemtext {
    bool preformatted;        /* between two lines of three backticks */
    unsigned preformatted_at; /* the line on which that began */
};

/*
 * Parses a line (without its end). Returns true if it is a link line; link is then its address, cut at GEMTEXT_LINK_MAX
 * bytes, or "" if it has none. number: the line number, from 1.
 */
bool gemtext_line(struct gemtext *gemtext, const char *line, size_t length, unsigned number,
                  char link[static GEMTEXT_LINK_MAX + 1]);

/*
 * Resolves an address (RFC 3986, section 5.2; the request parser handles dot segments). host and path: those of the
 * page with the link; path is percent-encoded and begins with a slash. Leaves fragments out. Returns false if the
 * scheme is not gemini (there is nothing to check then), or if the result is longer than GEMTEXT_URI_MAX. The result
 * may be longer than a request.
 */
bool gemtext_resolve(char uri[static GEMTEXT_URI_MAX + 1], const char *link, const char *host, const char *path);

/*
 * Removes the dot segments of a resolved address (RFC 3986, section 5.2.4), in place, as clients do before a request.
 * Returns whether one of them climbed above the root; clients then stay at the root.
 */
bool gemtext_flatten(char *uri);
