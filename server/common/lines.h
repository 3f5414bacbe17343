/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The lines of an owner's file, and what stands in them. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes an editor's byte order mark takes at the beginning of a text: 3, or 0 where there is none. */
size_t lines_mark(const char *text, size_t length);

/* A text that is read line by line. */
struct lines {
    const char *at, *end; /* what is still to be read */
    unsigned number;      /* of the line that was read last; the first is 1 */
};

/* Begins to read a text, which need not end with NUL and stays where it is; a byte order mark is passed over. */
struct lines lines_begin(const char *text, size_t length);

/* Takes the next line, without its line feed. The last one may have none. Returns false at the end. */
bool lines_next(struct lines *lines, const char **line, size_t *length);

/* Returns what makes a line unreadable whatever it says, a static sentence, or NULL. */
const char *lines_judge(const char *line, size_t length);

/* Does this byte stand for nothing at either end of a line: space, tab, CR, VT or FF? */
bool lines_is_space(char byte);

/* Cuts the space off both ends of a text, in place. Returns its new beginning. */
char *lines_trim(char *text);

/* Reads a decimal number without a sign, at most `maximum`. Moves *at past it. Returns false if there is none. */
bool lines_number(const char **at, uint32_t maximum, uint32_t *number);

/* The same for a port, 1 to 65535. */
bool lines_port(const char **at, uint16_t *port);
