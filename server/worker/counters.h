/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Counters of a worker since it started. The supervisor reads them while the worker writes. This is the one list: the
 * log (drop_log.h) and the status for the service manager follow it, in its order. To add a counter,
 * add a line here and count it where it happens.
 */

#include <stdatomic.h>
#include <stdint.h>

/*
 * COUNTER(name, its words in the supervisor's status; NULL: none)
 * DROP(name, NAME): connections that ended without a response, for this reason
 */
#define COUNTERS(COUNTER, DROP)                                                                                        \
    COUNTER(accepted, NULL)                                                                                            \
    COUNTER(broken_off, NULL)              /* responses that were not sent completely */                               \
    COUNTER(answered, "requests answered") /* responses that were */                                                   \
    COUNTER(open, "connections open")                                                                                  \
    DROP(refused, REFUSED)         /* from an address or prefix that had reached its limit */                          \
    DROP(throttled, THROTTLED)     /* from an address or prefix that had too many handshakes in a minute */            \
    DROP(displaced, DISPLACED)     /* replaced by new ones when all places were taken */                               \
    DROP(late, LATE)               /* reached a deadline */                                                            \
    DROP(foreign, FOREIGN)         /* did not speak TLS */                                                             \
    DROP(failed, FAILED)           /* failed in the handshake */                                                       \
    COUNTER(slowed, "slowed down") /* requests answered with 44 */

#define COUNTERS_NOTHING(name, other)

#define COUNTERS_MEMBER(name, other) _Atomic uint64_t name;
struct counters {
    COUNTERS(COUNTERS_MEMBER, COUNTERS_MEMBER)
};
#undef COUNTERS_MEMBER

#define COUNTERS_REASON(name, NAME) DROP_##NAME,
enum drop { COUNTERS(COUNTERS_NOTHING, COUNTERS_REASON) DROP_COUNT };
#undef COUNTERS_REASON
