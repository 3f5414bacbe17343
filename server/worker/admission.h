/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Decides which connections get a place in a worker, and which end when all places are taken. */

#include "loop.h"

/* Is there room for one more connection without ending another? */
bool admission_has_room(const struct worker *worker);

/*
 * May the worker accept a new connection? If it has no place but another worker has one, the kernel must wake that
 * worker: then nobody is ended, and this worker must not be among those that the kernel wakes.
 */
bool admission_can_accept(struct worker *worker);

/*
 * Gives a new connection, which is in no queue, a place and starts it; this may end other connections. A connection
 * from this machine may have to wait for a place; one that gets none is refused and ended.
 */
void admission_receive(struct worker *worker, struct connection *connection);

/* Gives the places for this machine to connections that wait for one, in order of arrival. */
void admission_admit_waiting(struct worker *worker);

/* Ends a connection that deserves its place least, if there is one, so that another worker can accept a new one. */
void admission_make_way(struct worker *worker);
