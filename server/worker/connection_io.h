/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The socket of a connection: what goes out, what comes in, what has to wait, and how the way out ends (a lingering
 * close).
 */

#include <sys/types.h>

#include "connection.h"

/* SENT_SOME: the kernel took a part, or nothing; the rest is kept. SENT_NONE: the peer is gone, or memory is. */
enum sent { SENT_ALL, SENT_SOME, SENT_NONE };

/* Keeps a copy of these bytes, which may be kept already, in place of what was kept. False: no memory. */
bool connection_keep(struct connection *connection, const void *bytes, size_t size);

/* Gives back what is kept. */
void connection_drop_kept(struct connection *connection);

/* Sends the records in the channel, which is empty afterwards; what finds no room is kept. */
enum sent connection_flush(struct connection *connection, struct worker_context *context);

/* Sends records that were kept. Only called in stages in which `kept` holds records. */
enum sent connection_flush_kept(struct connection *connection);

/*
 * Receives once into the worker context behind `offset` bytes.
 * Returns how many bytes came, 0 when none are there yet, -1 when the peer is gone.
 */
ssize_t connection_receive(struct connection *connection, struct worker_context *context, size_t offset);

/* Bytes that the kernel has taken and the client has not acknowledged; the end of the connection counts as one. */
uint64_t connection_untaken(const struct connection *connection);

/* Is nothing left to say, and has the client acknowledged all that was said? Then it may end at any time. */
bool connection_has_all(struct connection *connection);

/*
 * Ends the way to the client. From now on the connection waits until the client has acknowledged all of it, so that the
 * kernel never holds anything that no bound counts. False: the peer is gone.
 */
bool connection_begin_linger(struct connection *connection);

/*
 * How lingering goes on. Whoever may still be sending gets time to read before a reset can reach it; anybody else is
 * through once all is acknowledged, whether the client closes its end or not.
 */
enum next connection_continue_linger(struct connection *connection);
