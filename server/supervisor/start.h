/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* How the supervisor starts a process, and what each gives up before it does anything. */

#include <stddef.h>

#include "children.h"

/*
 * Starts the key process; does nothing if it is a service of its own. A new key process answers the questions that wait
 * in the channels. Returns 0 or -errno.
 */
int children_start_keys(struct children *children);

/*
 * Starts a worker of the present generation in the slot with this number, with a new channel to the key process. If
 * that fails, this is logged, and the next attempt is made after `delay` milliseconds.
 */
void children_start_worker(struct children *children, size_t number, unsigned delay);
