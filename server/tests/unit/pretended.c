/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pretended.h"

time_t pretended_time;
struct pretended_openat2 pretended_openat2;

time_t __real_time(time_t *moment);
time_t __wrap_time(time_t *moment);

time_t real_time(void) {
    return __real_time(NULL);
}

time_t __wrap_time(time_t *moment) {
    time_t now = pretended_time ? pretended_time : real_time();
    if (moment)
        *moment = now;
    return now;
}
