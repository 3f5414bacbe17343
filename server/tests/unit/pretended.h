/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What system calls answer in the unit tests: the linker puts functions of ours in their place. */

#include <time.h>

extern time_t pretended_time; /* 0: the real time */

/* The real time. */
time_t real_time(void);

/* openat2(2) fails with `error` so many times, and then works. */
extern struct pretended_openat2 {
    int error;
    int times;
} pretended_openat2;
