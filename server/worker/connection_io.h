/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The socket of a connection: sends, receives, keeps what must wait, and closes (a lingering close). */

#include <sys/types.h>

#include "connection.h"

/* SENT_SOME: the kernel took a part, or nothing; the rest waits. SENT_NONE: the peer is gone, or memory is. */
enum sent { SENT_ALL, SENT_SOME, SENT_NONE };

/* Has a copy of these bytes wait, in place of what waited, which they may be a part of. False: no memory. */
bool pending_keep(struct pending *pending, const void *bytes, size_t size);

/* Nothing waits any more. */
void pending_drop(struct pending *pending);

/* Sends the records in the channel, which is empty afterwards; what finds no room waits in pending_out. */
enum sent connection_flush(struct connection *connection, struct worker_context *context);

/* Sends what waits in pending_out; something does. */
enum sent connection_flush_pending(struct connection *connection);

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
 * Ends the way to the client. From now on the connection waits until the client has acknowledged all of it, so that the
 * kernel never holds anything that no bound counts. state: STATE_LINGER or STATE_DRAIN. False: the peer is gone.
 */
bool connection_begin_linger(struct connection *connection, enum state state);

/*
 * How lingering goes on. In STATE_DRAIN the client gets time to read before a reset can reach it; in STATE_LINGER it is
 * through once all is acknowledged, whether the client closes its end or not.
 */
enum next connection_continue_linger(struct connection *connection);
