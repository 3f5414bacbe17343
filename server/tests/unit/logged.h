/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Captures what a test makes the server log. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    FILE *file;
    int usual; /* the previous standard error */
} log_kept = {NULL, -1};

/* Starts to capture log lines. */
static inline void logged_begin(void) {
    log_kept.file = tmpfile();
    log_kept.usual = dup(STDERR_FILENO);
    cr_assert(log_kept.file && log_kept.usual >= 0 && dup2(fileno(log_kept.file), STDERR_FILENO) >= 0);
}

/* Returns the lines since then, valid until the next call. */
static inline const char *logged_end(void) {
    static char text[65536];
    dup2(log_kept.usual, STDERR_FILENO);
    close(log_kept.usual);
    rewind(log_kept.file);
    text[fread(text, 1, sizeof text - 1, log_kept.file)] = '\0';
    fclose(log_kept.file);
    return text;
}

/* Counts how often one text occurs in another. */
static inline size_t logged_count(const char *text, const char *sought) {
    size_t count = 0;
    for (; (text = strstr(text, sought)); text += strlen(sought))
        count++;
    return count;
}
