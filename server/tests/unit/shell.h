/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Shell commands, so that tests prepare files with the tools that administrators use. */

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs a command, which must succeed. */
__attribute__((format(printf, 1, 2))) static inline void shell(const char *format, ...) {
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    cr_assert_eq(system(command), 0, "%s", command);
}
