/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Status, META and body of a response. Uses no socket. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every status that exists (Gemini network protocol, section "Status codes"), and no other. */
enum status {
    STATUS_INPUT = 10,
    STATUS_SENSITIVE_INPUT = 11,
    STATUS_SUCCESS = 20,
    STATUS_REDIRECT_TEMPORARY = 30,
    STATUS_REDIRECT_PERMANENT = 31,
    STATUS_TEMPORARY_FAILURE = 40,
    STATUS_SERVER_UNAVAILABLE = 41,
    STATUS_CGI_ERROR = 42,
    STATUS_PROXY_ERROR = 43,
    STATUS_SLOW_DOWN = 44,
    STATUS_PERMANENT_FAILURE = 50,
    STATUS_NOT_FOUND = 51,
    STATUS_GONE = 52,
    STATUS_PROXY_REQUEST_REFUSED = 53,
    STATUS_BAD_REQUEST = 59,
    STATUS_CERTIFICATE_REQUIRED = 60,
    STATUS_CERTIFICATE_NOT_AUTHORISED = 61,
    STATUS_CERTIFICATE_NOT_VALID = 62,
};

#define REPLY_META_MAX 1024                       /* bytes; clients of the old specification accept no more */
#define REPLY_HEADER_MAX (3 + REPLY_META_MAX + 2) /* "20 " META CRLF */

/* A body in memory. Several responses may share it. */
struct reply_text {
    size_t size; /* bytes */
    unsigned holders;
    size_t *total; /* the bytes of all texts of its kind that somebody holds, or NULL */
    char bytes[];
};

/*
 * A response. `body` is an open regular file or -1, owned by whoever holds the reply; `text` is a body in memory or
 * NULL, and the reply is one of its holders. At most one of the two is set, and only with STATUS_SUCCESS.
 */
struct reply {
    enum status status;
    char meta[REPLY_META_MAX + 1];
    int body;
    uint64_t body_size; /* bytes of the file when it was opened, or of text */
    struct reply_text *text;
};

/* Sets a response without a body. meta: "" for none; cut at REPLY_META_MAX bytes; must not be empty for 1x, 2x, 3x. */
void reply_set(struct reply *reply, enum status status, const char *meta);

/* Is this number one of enum status? */
bool reply_status_exists(int number);

/* Can this text be a META: valid UTF-8, no BOM, no C0, DEL or C1 control, at most REPLY_META_MAX bytes? */
bool reply_meta_is_clean(const char *meta);

/*
 * Writes the header line. Returns its length in bytes, CRLF included. An unclean META is never sent: the header is then
 * "40" with a fixed message, and the caller must not send the body (reply_header sets reply->status to
 * STATUS_TEMPORARY_FAILURE to say so).
 */
size_t reply_header(struct reply *reply, char header[static REPLY_HEADER_MAX]);

/*
 * Allocates a text of `size` bytes, which the caller fills in. The caller is its first holder. total: NULL, or a number
 * that counts its bytes as long as somebody holds it. NULL: no memory.
 */
struct reply_text *reply_text_make(size_t size, size_t *total);

/* Adds a holder. Returns the text; NULL stays NULL. */
struct reply_text *reply_text_share(struct reply_text *text);

/* Removes a holder; the last one frees it. */
void reply_text_release(struct reply_text *text);

/* Closes the file and releases the text of the reply. Safe on a reply already disposed of. */
void reply_dispose(struct reply *reply);
