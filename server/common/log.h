/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * One line for an event, on standard error. Every byte that came from outside is escaped.
 * When standard error is the journal, lines carry its priority prefix (sd-daemon(3)).
 */

#include <stdbool.h>
#include <stddef.h>

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* Finds out whether standard error is the journal, and reads VITRINE_DEBUG. Call once, before any fork. */
void log_open(void);

/* From now on lines carry their priority: who reads standard error is no journal, but understands it (relay.h). */
void log_with_priorities(void);

/* Do lines carry their priority? */
bool log_has_priorities(void);

/*
 * Writes one line, whole, with a single write(2). Longer ones than LOG_LINE_MAX bytes are cut.
 * The arguments must be trusted text or have gone through log_quote. Control characters that slip through are
 * replaced. errno is kept. Where standard error does not block and has no room, the line is lost, and counted.
 */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define LOG_LINE_MAX 4096

/* From now on only lines of this level and graver ones are written. */
void log_limit(enum log_level level);

/* Writes lines that are made already. Returns false when there was no room, where that is not waited for. */
bool log_write(const char *text, size_t size);

/*
 * Makes text from outside safe to log: printable ASCII except `"` and `\` stays, everything else becomes \xHH, and the
 * whole stands in quotes. Cut with `...` where `quoted` is too small. Returns quoted.
 * size: bytes of quoted, at least 8. A buffer of 4 * length + 3 never cuts.
 */
char *log_quote(char *quoted, size_t size, const char *text);

/* Has all gone out that a command printed on standard output? A line that could not be written is known by then only
 * here. */
bool log_printed(void);
