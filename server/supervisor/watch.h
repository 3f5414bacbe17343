/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What the supervisor waits for: signals, and lines of workers for the log. */

#include <stdint.h>

#include "children.h"

/*
 * Waits for one of the signals, at most `milliseconds`, and meanwhile logs the lines of workers. Returns the signal; 0
 * if none came.
 */
int children_wait(struct children *children, uint64_t milliseconds);
