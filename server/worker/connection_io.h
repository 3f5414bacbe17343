/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The socket of a connection: sends, receives, keeps what must wait, and closes (a lingering close). */

#include <sys/types.h>

#include "connection.h"

/* SENT_SOME: the kernel took a part, or nothing; the rest waits. SENT_NONE: the peer is gone, or memory is. */
enum sent { SENT_ALL, SENT_SOME, SENT_NONE };

/*
 * Keeps a copy of these bytes, replacing what waited, which they may be a part of. Returns false if there is no memory.
 */
bool pending_keep(struct pending *pending, const void *bytes, size_t size);

/* Drops the waiting bytes. */
void pending_drop(struct pending *pending);

/* Sends the records in the channel, which is empty afterwards; what finds no room waits in pending_out. */
enum sent connection_flush(struct connection *connection, struct worker_context *context);

/* Sends the bytes that wait in pending_out, of which there must be some. */
enum sent connection_flush_pending(struct connection *connection);

/* Bytes of a response after which its client has shown that it is quick, and so has every other such part. */
#define CONNECTION_IO_WIDENS_AFTER 1048576

/*
 * Gives the connection a large send buffer if its client has taken much of a response, and if there is a place for it
 * (quota_widen), which it keeps to its end.
 */
void connection_widen(struct connection *connection, struct worker_context *context);

/*
 * Receives once into the worker context, after `offset` bytes. Returns how many bytes came, 0 if there are none yet, -1
 * if the client is gone.
 */
ssize_t connection_receive(struct connection *connection, struct worker_context *context, size_t offset);

/*
 * Returns the bytes that the kernel has taken and the client has not acknowledged; the end of the connection counts as
 * one.
 */
uint64_t connection_untaken(const struct connection *connection);

/* Is everything sent and acknowledged by the client? Then it can end at any time. */
bool connection_has_all(struct connection *connection);

/*
 * Closes the sending side. From now on, the connection waits until the client has acknowledged everything, so that the
 * kernel never holds data outside of all limits. state: STATE_LINGER or STATE_DRAIN. Returns false if the peer is gone.
 */
bool connection_begin_linger(struct connection *connection, enum state state);

/*
 * Continues lingering. In STATE_DRAIN, the client gets time to read before a reset can reach it. In STATE_LINGER, the
 * connection ends once everything is acknowledged, whether the client closes its side or not.
 */
enum next connection_continue_linger(struct connection *connection);
