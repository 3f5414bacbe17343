/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The part of `vitrine check` that reads pages and other texts, and follows the links of pages. */

#include <stdbool.h>

#include "findings.h"
#include "gemtext.h"

#define CHECK_LINE_MAX 65536 /* bytes of a line that are checked */

/* A text that is read line by line, and what was found so far. */
struct reading {
    const char *path;
    const char *host, *url_path; /* host and path of a page in its address, percent-encoded; NULL for other text */
    const char *charset;         /* declared_charset */
    struct gemtext gemtext;
    bool bare, paired, told_ends, told_bytes, told_return;
};

/* Checks a whole text and reports what is wrong. file: open for reading, at its start; the caller keeps it. */
void check_text(struct check *check, struct reading *reading, int file);
