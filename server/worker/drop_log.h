/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Logs connections that end without a response. They cost strangers nothing, so nobody must be able to fill the log
 * with them. If addresses are logged at all, each worker writes a line for the first DROP_LOG_MAX of each kind in a
 * period, so that a flood of one kind hides no other:
 *
 *   connection end=late address=192.0.2.1
 *
 * At the end of each period with such connections, a worker that is still there writes one line with the totals:
 *
 *   connections refused=1200 throttled=0 displaced=0 late=4 foreign=0 failed=0 seconds=60
 */

#include <stdint.h>

#include "counters.h"

#define DROP_LOG_MAX 20
#define DROP_LOG_PERIOD 60000 /* milliseconds */

/* The counts of one worker. All zero: nothing to log. */
struct remarks {
    uint64_t period_ends;
    unsigned counts[DROP_COUNT]; /* in this period */
    unsigned all;
};

/*
 * Counts a connection, and logs it if allowed. address: " address=..." as the settings allow it; "" if they do not, and
 * then no line is written. now: milliseconds of the monotonic clock.
 */
void drop_log_add(struct remarks *remarks, enum drop drop, const char *address, uint64_t now);

/* Call now and then: logs the totals when the period is over. */
void drop_log_settle(struct remarks *remarks, uint64_t now);
