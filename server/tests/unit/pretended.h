/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The results of system calls in unit tests: the linker replaces the calls with these functions. */

#include <time.h>

extern time_t pretended_time; /* 0: the real time */

/* The real time. */
time_t real_time(void);

/* openat2(2) fails with `error` this many times, and then works. */
extern struct pretended_openat2 {
    int error;
    int times;
} pretended_openat2;
