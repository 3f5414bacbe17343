/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Writes one line per event to standard error. Every byte that came from outside is escaped. If standard error is the
 * journal, lines have its priority prefix (sd-daemon(3)).
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

/*
 * From now on, lines have the prefix although standard error is not the journal, because its reader supports it
 * (relay.h).
 */
void log_with_priorities(void);

/* Do lines have the priority prefix? */
bool log_has_priorities(void);

/*
 * Writes one whole line, cut at LOG_LINE_MAX bytes, with a single write(2), or together with other waiting lines
 * (log_gather). Arguments must be trusted text or the result of log_quote. Replaces any remaining control characters.
 * Keeps errno. If standard error is non-blocking and full, the line is lost and counted.
 */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define LOG_LINE_MAX 4096

/*
 * From now on, lines of LOG_LEVEL_INFO and below wait in memory for log_flush, for a more severe line, or until there
 * are LOG_LINE_MAX bytes of them. The caller must flush before it waits for anything.
 */
void log_gather(void);

/*
 * Writes the waiting lines. Keeps errno. Can be called in the SIGSYS handler, because no waiting line is incomplete
 * then.
 */
void log_flush(void);

/* From now on, writes only lines of this level or more severe ones. */
void log_limit(enum log_level level);

/* Writes complete lines. Returns false if standard error is non-blocking and full. */
bool log_write(const char *text, size_t size);

/*
 * Makes text from outside safe to log: keeps printable ASCII except `"` and `\`, turns everything else into \xHH, and
 * puts the result in quotes. Cuts it with `...` if `quoted` is too small. Returns quoted. size: bytes of quoted, at
 * least 8. A buffer of 4 * length + 3 bytes is always large enough.
 */
char *log_quote(char *quoted, size_t size, const char *text);

/*
 * Flushes standard output. Returns whether everything that the command printed was written; only now do earlier
 * failures show.
 */
bool log_printed(void);
