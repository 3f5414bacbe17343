/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Lines of text/gemini, as far as `vitrine check` looks at them. Pure. */

#include <stdbool.h>
#include <stddef.h>

#define GEMTEXT_LINK_MAX 1024 /* bytes of an address, as in a request */

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
 * Makes an address whole (RFC 3986, section 5.2, dot segments left for the request's parser). host and path: of the page
 * that holds the link; path percent-encoded, beginning with a slash. Fragments are left out.
 * Returns false when it leads to another scheme than gemini, or is too long for a request: nothing to look at then.
 */
bool gemtext_resolve(char uri[static GEMTEXT_LINK_MAX + 1], const char *link, const char *host, const char *path);
