/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Parses a request. Pure: no socket, no clock, no memory of its own.
 *
 * A request is one absolute URI and CRLF (Gemini network protocol, section "Requests"; grammar RFC 3986).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hostname.h"

#define REQUEST_URI_MAX 1024                   /* bytes of the URI, without CRLF */
#define REQUEST_LINE_MAX (REQUEST_URI_MAX + 2) /* bytes of the whole line */
#define REQUEST_DEFAULT_PORT 1965

enum request_verdict {
    REQUEST_INCOMPLETE, /* no CRLF yet, and the bytes so far can still become a request: wait for more */
    REQUEST_VALID,      /* the request is filled in */
    REQUEST_MALFORMED,  /* not a URI that this protocol allows: 59 */
    REQUEST_FOREIGN,    /* a valid URI, but another scheme, or an impossible host (IPvFuture, too long): 53 */
    REQUEST_UNNAMEABLE, /* a valid URI whose path no file can have (%00, %2F, control characters, bad UTF-8): 51 */
};

/*
 * A parsed request. Strings end with NUL and are inside the struct. After REQUEST_UNNAMEABLE, host and port are set and
 * path is empty; after any other verdict except REQUEST_VALID, the content is undefined, except for `problem`.
 */
struct request {
    char host[HOSTNAME_MAX + 1];    /* percent-decoded, ASCII letters in lower case, no trailing dot;
                                           an IPv6 literal without its brackets */
    bool host_is_address;           /* an IPv4 or IPv6 literal */
    uint16_t port;                  /* REQUEST_DEFAULT_PORT if the URI names none */
    char path[REQUEST_URI_MAX + 1]; /* begins with '/', decoded once, dot segments resolved, valid UTF-8,
                                       no control characters; an empty path of the URI is "/" */
    bool has_query;
    char query[REQUEST_URI_MAX + 1]; /* as received, still percent-encoded, without '?' */
    const char *problem;             /* after REQUEST_MALFORMED: what is wrong, a static sentence for the log */
};

/*
 * Looks for one request at the start of `bytes`. length: how many bytes have arrived so far (0 or more). Ignores bytes
 * after CRLF. A line that can no longer become valid (no CRLF within REQUEST_LINE_MAX bytes, a control or non-ASCII
 * byte, CR without LF) is REQUEST_MALFORMED at once. A bare LF never ends a request and is not an error: the verdict
 * stays REQUEST_INCOMPLETE, and the caller's deadline ends the connection without a response.
 */
enum request_verdict request_parse(const char *bytes, size_t length, struct request *request);
