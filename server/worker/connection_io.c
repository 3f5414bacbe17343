/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connection_io.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "block_cache.h"
#include "common/bounds.h"

/* ---- bytes that wait ---- */

void pending_drop(struct pending *pending) {
    block_cache_give(pending->bytes);
    *pending = (struct pending){0};
}

bool pending_keep(struct pending *pending, const void *bytes, size_t size) {
    uint8_t *copy = block_cache_take(size);
    if (!copy)
        return false;
    memcpy(copy, bytes, size);
    block_cache_give(pending->bytes);
    *pending = (struct pending){copy, size};
    return true;
}

/* ---- the socket ---- */

/*
 * Sends as much as the kernel takes. *left: how many bytes at the end of `bytes` were not taken. The last bytes of a
 * response wait for the end of the connection, which is sent with them: this saves a packet.
 */
static enum sent transmit(struct connection *connection, const uint8_t *bytes, size_t size, size_t *left) {
    int flags = MSG_NOSIGNAL | (connection->state == STATE_LAST_BYTES ? MSG_MORE : 0);
    *left = size;
    while (*left > 0) {
        ssize_t sent = send(connection->socket, bytes + size - *left, *left, flags);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? SENT_SOME : SENT_NONE;
        *left -= (size_t)sent;
        if (connection->state == STATE_RESPONSE || connection->state == STATE_LAST_BYTES)
            connection->sent += (uint64_t)sent;
    }
    return SENT_ALL;
}

enum sent connection_flush(struct connection *connection, struct worker_context *context) {
    struct tls_channel *channel = &context->channel;
    size_t left;
    enum sent sent = SENT_ALL;
    if (channel->output_size > 0) {
        sent = transmit(connection, channel->output, channel->output_size, &left);
        if (sent == SENT_SOME &&
            !pending_keep(&connection->pending_out, channel->output + channel->output_size - left, left))
            sent = SENT_NONE;
        channel->output_size = 0;
    }
    return sent;
}

enum sent connection_flush_pending(struct connection *connection) {
    struct pending *pending = &connection->pending_out;
    size_t left;
    enum sent sent = transmit(connection, pending->bytes, pending->size, &left);
    if (sent == SENT_SOME) {
        memmove(pending->bytes, pending->bytes + pending->size - left, left);
        pending->size = left;
    } else {
        pending_drop(pending);
    }
    return sent;
}

void connection_widen(struct connection *connection, struct worker_context *context) {
    if (connection->is_wide || connection->sent < connection->widens_at)
        return;
    connection->widens_at = connection->sent + CONNECTION_IO_WIDENS_AFTER;
    if (!quota_widen(&context->quota))
        return;
    connection->is_wide = true;
    setsockopt(connection->socket, SOL_SOCKET, SO_SNDBUF, &(int){BOUND_WIDE_SEND_BUFFER}, sizeof(int));
}

ssize_t connection_receive(struct connection *connection, struct worker_context *context, size_t offset) {
    for (;;) {
        ssize_t got = recv(connection->socket, context->received + offset, sizeof context->received - offset, 0);
        if (got > 0)
            return got;
        if (got < 0 && errno == EINTR)
            continue;
        return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
    }
}

uint64_t connection_untaken(const struct connection *connection) {
    int bytes = 0;
    return ioctl(connection->socket, TIOCOUTQ, &bytes) < 0 || bytes < 0 ? 0 : (uint64_t)bytes;
}

bool connection_has_all(struct connection *connection) {
    bool lingers = connection->state == STATE_LINGER || connection->state == STATE_DRAIN;
    connection->acknowledged = lingers && connection_untaken(connection) == 0;
    return connection->acknowledged;
}

bool connection_begin_linger(struct connection *connection, enum state state) {
    connection->state = state;
    return shutdown(connection->socket, SHUT_WR) == 0;
}

enum next connection_continue_linger(struct connection *connection) {
    if (connection->state == STATE_DRAIN)
        return WANT_READ;
    return connection_has_all(connection) ? WANT_CLOSE : WANT_NEWS;
}
