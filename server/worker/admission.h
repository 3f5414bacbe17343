/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Who gets a place in a worker, and who gives way when all are taken. */

#include "loop.h"

/* Has the worker a place for one more, without anybody giving way? */
bool admission_has_room(const struct worker *worker);

/*
 * May it take a new connection? Where it has no place, and another worker has, that one is to be woken: nobody gives
 * way then, and this worker must not be among those that the kernel wakes.
 */
bool admission_can_accept(struct worker *worker);

/*
 * Gives a new connection, which is in no queue, its place, and lets it begin; other connections may end for that. One
 * from this machine may have to wait for its place; one that gets none is refused and ended.
 */
void admission_receive(struct worker *worker, struct connection *connection);

/* Gives places of this machine to those who wait for one, in the order in which they came. */
void admission_admit_waiting(struct worker *worker);

/* Ends a connection that is of little use, if there is one, so that another worker can take a new one. */
void admission_make_way(struct worker *worker);
