/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The monotonic clock, which nobody can set (clock_gettime(2), CLOCK_MONOTONIC): for periods, never for dates. */

#include <stdint.h>
#include <time.h>

/* Microseconds since some moment before the start. */
static inline uint64_t clock_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Milliseconds since the same moment. */
static inline uint64_t clock_milliseconds(void) {
    return clock_microseconds() / 1000;
}
