/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "response.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block_cache.h"
#include "common/log.h"
#include "common/text.h"
#include "connection_io.h"
#include "connection_log.h"

/*
 * The number of parts of a body that are sent before other connections get their turn: 160 kB, a fifth of a
 * millisecond. The end of a response counts as one, too.
 */
#define TURNS_AT_ONCE 5

/* ---- reply ---- */

/* Reads the next part of the body to `bytes`, as much as there is room for. Returns its length; sets broken. */
static size_t read_body(struct response *response, uint8_t *bytes, size_t room) {
    struct reply *reply = &response->reply;
    size_t size = 0;
    while (size < room && response->sent < reply->body_size) {
        uint64_t missing = reply->body_size - response->sent;
        size_t wanted = missing < room - size ? (size_t)missing : room - size;
        ssize_t got = (ssize_t)wanted;
        if (reply->text)
            memcpy(bytes + size, reply->text->bytes + response->sent, wanted);
        else
            got = pread(reply->body, bytes + size, wanted, (off_t)response->sent);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) { /* shrunk or unreadable */
            response->broken = true;
            break;
        }
        response->sent += (uint64_t)got;
        size += (size_t)got;
    }
    /* A client that reads slowly must not hold a text that is no longer needed. */
    if (response->sent == reply->body_size) {
        reply_text_release(reply->text);
        reply->text = NULL;
    }
    return size;
}

/* The header line, which is sent before the body. */
struct header {
    char bytes[REPLY_HEADER_MAX];
    size_t size;
};

/* Makes the next records, where they are sent from. header: NULL if it was sent. */
static bool make_records(struct connection *connection, const struct header *header) {
    struct response *response = connection->response;
    bool is_last = false;
    for (int i = 0; i < TLS_RECORDS_AT_ONCE && !is_last; i++) {
        size_t room, size = 0;
        uint8_t *bytes = tls_record_begin(connection->session, &room);
        if (!bytes || (header && room < header->size))
            return false;
        if (header && i == 0) {
            size = header->size;
            memcpy(bytes, header->bytes, size);
        }
        size += read_body(response, bytes + size, room - size);
        if (size > 0 && tls_record_end(connection->session, size) != TLS_DONE)
            return false;
        is_last = response->broken || response->sent == response->reply.body_size;
    }
    if (is_last) {
        connection->state = STATE_LAST_BYTES;
        if (!response->broken)
            tls_close_notify(connection->session); /* in the same send as the last data */
    }
    return true;
}

/* After the last byte: a client that may still be sending gets time to read before a reset can reach it. */
static enum next say_goodbye(struct connection *connection, struct worker_context *context) {
    struct response *response = connection->response;
    bool drains = response->more_comes || response->reply.status != STATUS_SUCCESS;
    bool there = connection_begin_linger(connection, drains ? STATE_DRAIN : STATE_LINGER);
    connection_log_response(connection, context);
    if (response->broken)
        context->counters->broken_off++;
    else
        context->counters->answered++;
    reply_dispose(&response->reply);
    block_cache_give(response);
    connection->response = NULL;
    tls_session_end(connection->session);
    connection->session = NULL;
    return there ? connection_continue_linger(connection) : WANT_CLOSE;
}

/* As response_continue. header: see make_records. */
static enum next deliver(struct connection *connection, struct worker_context *context, const struct header *header) {
    for (int turn = 0; turn < TURNS_AT_ONCE; turn++) {
        enum sent sent = SENT_ALL;
        if (connection->pending_out.bytes) {
            sent = connection_flush_pending(connection);
        } else if (connection->state == STATE_LAST_BYTES) {
            return say_goodbye(connection, context);
        } else {
            if (!make_records(connection, header))
                return WANT_CLOSE;
            header = NULL;
            sent = connection_flush(connection, context);
            connection_widen(connection, context);
        }
        if (sent == SENT_NONE)
            return WANT_CLOSE;
        if (sent == SENT_SOME)
            return WANT_WRITE;
    }
    return WANT_WRITE;
}

/* ---- choosing the response ---- */

static void describe(struct response *response, const struct request *request) {
    char host[RESPONSE_ASKED_MAX / 4], path[RESPONSE_ASKED_MAX / 2];
    snprintf(response->asked, sizeof response->asked, "host=%s path=%s", log_quote(host, sizeof host, request->host),
             log_quote(path, sizeof path, request->path));
}

/* Sets the reply of the connection's response; its client is known. */
static void decide(const struct connection *connection, const struct worker_context *context,
                   enum request_verdict verdict, const struct request *request) {
    struct reply *reply = &connection->response->reply;
    bool port_is_served =
        request->port == connection->port || settings_has_port(&context->settings->advertised_ports, request->port);
    switch (verdict) {
    case REQUEST_VALID:
        if (!port_is_served)
            reply_set(reply, STATUS_PROXY_REQUEST_REFUSED, "wrong port");
        else if (tls_bars(context->tls, request->host)) /* requested under the certificate of another host */
            reply_set(reply, STATUS_SERVER_UNAVAILABLE, "identity of this host cannot be used");
        else
            capsules_answer(context->capsules, request, &connection->response->client, reply);
        break;
    case REQUEST_UNNAMEABLE:
        if (!port_is_served || !capsules_serve(context->capsules, request->host, request->host_is_address))
            reply_set(reply, STATUS_PROXY_REQUEST_REFUSED, "host not served here");
        else
            reply_set(reply, STATUS_NOT_FOUND, "not found");
        break;
    case REQUEST_FOREIGN:
        reply_set(reply, STATUS_PROXY_REQUEST_REFUSED, "only gemini URLs are served here");
        break;
    default:
        reply_set(reply, STATUS_BAD_REQUEST, request->problem);
    }
}

bool response_begin(struct connection *connection, bool more_comes) {
    struct response *response = block_cache_take_zeroed(sizeof *response);
    if (!response)
        return false;
    response->reply.body = -1;
    response->more_comes = more_comes;
    connection->response = response;
    connection->state = STATE_RESPONSE;
    pending_drop(&connection->pending_in);
    return true;
}

enum next response_answer(struct connection *connection, struct worker_context *context, enum request_verdict verdict,
                          struct request *request) {
    struct response *response = connection->response;
    if (verdict != REQUEST_VALID && verdict != REQUEST_UNNAMEABLE)
        request->host[0] = request->path[0] = '\0';
    response->client = *tls_client_of(connection->session);
    unsigned seconds = quota_spend(&context->quota, &connection->member, QUOTA_REQUESTS, context->now);
    if (seconds > 0) {
        char wait[64];
        snprintf(wait, sizeof wait, "Too many requests; try again in %u second%s", seconds, text_plural(seconds));
        reply_set(&response->reply, STATUS_SLOW_DOWN, wait);
        context->counters->slowed++;
    } else {
        decide(connection, context, verdict, request);
    }
    describe(response, request);
    struct header header;
    header.size = reply_header(&response->reply, header.bytes);
    if (response->reply.status != STATUS_SUCCESS)
        response->reply.body_size = 0;
    return deliver(connection, context, &header);
}

enum next response_continue(struct connection *connection, struct worker_context *context) {
    return deliver(connection, context, NULL);
}

void response_abandon(struct connection *connection, struct worker_context *context) {
    if (!connection->response)
        return;
    connection->response->broken = true;
    connection_log_response(connection, context);
    context->counters->broken_off++;
    reply_dispose(&connection->response->reply);
    block_cache_give(connection->response);
}
