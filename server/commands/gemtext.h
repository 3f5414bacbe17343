/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Lines of text/gemini, as far as `vitrine check` looks at them. Pure. */

#include <stdbool.h>
#include <stddef.h>

#define GEMTEXT_LINK_MAX 1025 /* bytes of an address: one more than a request can have, so that this shows */
#define GEMTEXT_URI_MAX 2560  /* bytes of an address with the host and folder of its page put before it */

/* What is carried from line to line. All zero at the start of a page. */
struct gemtext {
    bool preformatted;        /* between two lines of three backticks */
    unsigned preformatted_at; /* the line on which that began */
};

/*
 * Looks at a line (without its end). Returns true when it is a link line; link: its address, "" where there is none,
 * cut at GEMTEXT_LINK_MAX bytes. number: of the line, counted from 1.
 */
bool gemtext_line(struct gemtext *gemtext, const char *line, size_t length, unsigned number,
                  char link[static GEMTEXT_LINK_MAX + 1]);

/*
 * Makes an address whole (RFC 3986, section 5.2, dot segments left for the request's parser). host and path: of the
 * page that holds the link; path percent-encoded, beginning with a slash. Fragments are left out. Returns false when it
 * leads to another scheme than gemini (nothing to look at then), or is longer than GEMTEXT_URI_MAX, as no page's host
 * and path are; it may be longer than a request.
 */
bool gemtext_resolve(char uri[static GEMTEXT_URI_MAX + 1], const char *link, const char *host, const char *path);

/*
 * Takes the dot segments out of a whole address (RFC 3986, section 5.2.4), in place, as clients do before they ask.
 * Returns whether one of them climbed above the root, where clients stay.
 */
bool gemtext_flatten(char *uri);
