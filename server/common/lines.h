/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Lines and numbers in an owner's file. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns the size of the byte order mark that an editor put at the start of a text: 3, or 0 if there is none. */
size_t lines_mark(const char *text, size_t length);

/* A text that is read line by line. */
struct lines {
    const char *at, *end; /* the rest */
    unsigned number;      /* of the last line that was read; the first is 1 */
};

/* Starts to read a text, after its byte order mark. The text needs no NUL and must stay in place. */
struct lines lines_begin(const char *text, size_t length);

/* Takes the next line, without its line feed. The last one may have none. Returns false at the end. */
bool lines_next(struct lines *lines, const char **line, size_t *length);

/* Returns a static sentence if a line is unreadable whatever it says, or NULL. */
const char *lines_judge(const char *line, size_t length);

/* Is this byte white space within a line: space, tab, CR, VT or FF? */
bool lines_is_space(char byte);

/* Removes white space at both ends of a text, in place. Returns its new start. */
char *lines_trim(char *text);

/* Reads a decimal number without a sign, at most `maximum`. Moves *at past it. Returns false if there is none. */
bool lines_number(const char **at, uint32_t maximum, uint32_t *number);

/* The same for a port, 1 to 65535. */
bool lines_port(const char **at, uint16_t *port);
