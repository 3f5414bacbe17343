/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "findings.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"

void find_fault(struct check *check, const char *path, unsigned line, enum severity severity, const char *format, ...) {
    char quoted[4 * PATH_MAX], number[16] = "";
    va_list arguments;
    if (line > 0)
        snprintf(number, sizeof number, ":%u", line);
    /* Names with bytes that a terminal might interpret are shown as in the log. */
    printf("%s%s: %s%s:%s ", text_is_clean(path, strlen(path)) ? path : log_quote(quoted, sizeof quoted, path), number,
           !check->colours     ? ""
           : severity == ERROR ? "\033[31m"
                               : "\033[33m",
           severity == ERROR ? "error" : "warning", check->colours ? "\033[0m" : "");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    if (severity == ERROR)
        check->errors++;
    else
        check->warnings++;
}

void take_fault(unsigned line, const char *problem, void *context) {
    const struct place *place = context;
    find_fault(place->check, place->path, line, ERROR, "%s", problem);
}

void take_remark(unsigned line, const char *problem, void *context) {
    const struct place *place = context;
    find_fault(place->check, place->path, line, WARNING, "%s", problem);
}
