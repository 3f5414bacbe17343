/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What time(2) answers in the unit tests: the linker puts a function of ours in its place. */

#include <time.h>

extern time_t pretended_time; /* 0: the real time */

/* The real time. */
time_t real_time(void);
