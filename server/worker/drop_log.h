/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What the log tells of connections that end without a reply. Strangers cause these for nothing, so nobody may fill the
 * log with them: where addresses are logged at all, each worker writes a line for the first DROP_LOG_MAX of each kind
in a period, so that a flood of one kind hides no other,
 *
 *   connection end=late address=192.0.2.1
 *
 * and, always, one line at the end of each period in which there were any, with how many there were in all:
 *
 *   connections refused=1200 throttled=0 displaced=0 late=4 foreign=0 failed=0 seconds=60
 */

#include <stdint.h>

#define DROP_LOG_MAX 20
#define DROP_LOG_PERIOD 60000 /* milliseconds */

enum drop { DROP_REFUSED, DROP_THROTTLED, DROP_DISPLACED, DROP_LATE, DROP_FOREIGN, DROP_FAILED, DROP_COUNT };

/* A worker's. All zero: nothing to tell. */
struct remarks {
    uint64_t period_ends;
    unsigned counts[DROP_COUNT]; /* in this period */
    unsigned all;
};

/*
 * Counts an end, and logs it as far as that is allowed. address: " address=..." as it may be shown, "" when it may not;
 * no line is written then. now: milliseconds of the monotonic clock.
 */
void drop_log_add(struct remarks *remarks, enum drop drop, const char *address, uint64_t now);

/* Call now and then: logs the sum once its period is over. */
void drop_log_settle(struct remarks *remarks, uint64_t now);
