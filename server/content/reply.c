/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "reply.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/lines.h"
#include "common/text.h"

void reply_set(struct reply *reply, enum status status, const char *meta) {
    size_t length = strlen(meta);
    if (length > REPLY_META_MAX) {
        length = REPLY_META_MAX;
        while (length > 0 && ((unsigned char)meta[length] & 0xc0) == 0x80)
            length--; /* half a character would not be UTF-8 */
    }
    reply->status = status;
    memcpy(reply->meta, meta, length);
    reply->meta[length] = '\0';
    reply->body = -1;
    reply->body_size = 0;
    reply->text = NULL;
}

bool reply_status_exists(int number) {
    switch ((enum status)number) {
    case STATUS_INPUT:
    case STATUS_SENSITIVE_INPUT:
    case STATUS_SUCCESS:
    case STATUS_REDIRECT_TEMPORARY:
    case STATUS_REDIRECT_PERMANENT:
    case STATUS_TEMPORARY_FAILURE:
    case STATUS_SERVER_UNAVAILABLE:
    case STATUS_CGI_ERROR:
    case STATUS_PROXY_ERROR:
    case STATUS_SLOW_DOWN:
    case STATUS_PERMANENT_FAILURE:
    case STATUS_NOT_FOUND:
    case STATUS_GONE:
    case STATUS_PROXY_REQUEST_REFUSED:
    case STATUS_BAD_REQUEST:
    case STATUS_CERTIFICATE_REQUIRED:
    case STATUS_CERTIFICATE_NOT_AUTHORISED:
    case STATUS_CERTIFICATE_NOT_VALID:
        return true;
    }
    return false;
}

bool reply_meta_is_clean(const char *meta) {
    size_t length = strnlen(meta, REPLY_META_MAX + 1);
    return length <= REPLY_META_MAX && lines_mark(meta, length) == 0 && text_is_clean(meta, length);
}

/* Can this response be sent as it is? Only 4x, 5x and 6x may have no META. */
static bool is_sendable(const struct reply *reply) {
    return reply_status_exists((int)reply->status) && reply_meta_is_clean(reply->meta) &&
           (reply->meta[0] != '\0' || reply->status >= STATUS_TEMPORARY_FAILURE);
}

size_t reply_header(struct reply *reply, char header[static REPLY_HEADER_MAX]) {
    if (!is_sendable(reply)) {
        reply->status = STATUS_TEMPORARY_FAILURE;
        strcpy(reply->meta, "The server could not describe its response");
    }
    size_t length = 0;
    header[length++] = (char)('0' + (int)reply->status / 10);
    header[length++] = (char)('0' + (int)reply->status % 10);
    size_t meta_length = strlen(reply->meta);
    if (meta_length > 0) {
        header[length++] = ' ';
        memcpy(header + length, reply->meta, meta_length);
        length += meta_length;
    }
    header[length++] = '\r';
    header[length++] = '\n';
    return length;
}

struct reply_text *reply_text_make(size_t size, size_t *total) {
    struct reply_text *text = malloc(sizeof *text + size);
    if (text)
        *text = (struct reply_text){.size = size, .holders = 1, .total = total};
    if (text && total)
        *total += size;
    return text;
}

struct reply_text *reply_text_share(struct reply_text *text) {
    if (text)
        text->holders++;
    return text;
}

void reply_text_release(struct reply_text *text) {
    if (!text || --text->holders > 0)
        return;
    if (text->total)
        *text->total -= text->size;
    free(text);
}

void reply_dispose(struct reply *reply) {
    if (reply->body >= 0)
        close(reply->body);
    reply->body = -1;
    reply_text_release(reply->text);
    reply->text = NULL;
    reply->body_size = 0;
}
