/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool priorities; /* lines begin with their priority */
static bool debug_wanted;
static enum log_level limit = LOG_LEVEL_DEBUG;

void log_open(void) {
    /*
     * systemd.exec(5): "DEVICE:INODE" of the journal's stream. Somebody between it and us may have redirected stderr.
     */
    const char *stream = getenv("JOURNAL_STREAM");
    char ours[2 * 20 + 2] = "";
    struct stat status;
    /* Written and compared rather than parsed: sscanf() would be a hundredth of the program. */
    if (stream != NULL && fstat(STDERR_FILENO, &status) == 0)
        snprintf(ours, sizeof ours, "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
    priorities = ours[0] != '\0' && strcmp(stream, ours) == 0;

    const char *debug = getenv("VITRINE_DEBUG");
    debug_wanted = debug != NULL && *debug != '\0' && strcmp(debug, "0") != 0;
}

void log_with_priorities(void) {
    priorities = true;
}

bool log_has_priorities(void) {
    return priorities;
}

void log_limit(enum log_level level) {
    limit = level;
}

/* A line break inside would let an outsider forge log lines. */
static void tame(char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    }
}

bool log_write(const char *text, size_t size) {
    ssize_t written;
    do
        written = write(STDERR_FILENO, text, size);
    while (written < 0 && errno == EINTR);
    return written >= 0 || errno != EAGAIN;
}

/* If standard error is non-blocking and full, lines get lost; the next ones that fit say how many. */
static void write_or_count(const char *text, size_t size, unsigned lines) {
    static unsigned long lost;
    char told[64];
    if (lost > 0) {
        int length = snprintf(told, sizeof told, "%s%lu log lines were dropped because the log was full\n",
                              priorities ? "<4>" : "", lost);
        if (log_write(told, (size_t)length))
            lost = 0;
    }
    if (!log_write(text, size))
        lost += lines;
}

/* Waiting lines. A pipe accepts this many bytes completely or not at all (PIPE_BUF), so no line is cut. */
static bool gathers;
static char waiting[LOG_LINE_MAX];
static size_t waiting_size;
static unsigned waiting_lines;

void log_gather(void) {
    gathers = true;
}

void log_flush(void) {
    int kept = errno;
    if (waiting_lines > 0)
        write_or_count(waiting, waiting_size, waiting_lines);
    waiting_size = waiting_lines = 0;
    errno = kept;
}

static void add_line(const char *line, size_t size, bool now) {
    if (size > sizeof waiting - waiting_size)
        log_flush();
    memcpy(waiting + waiting_size, line, size);
    waiting_size += size;
    waiting_lines++;
    if (now)
        log_flush();
}

void log_line(enum log_level level, const char *format, ...) {
    if (level > limit || (level >= LOG_LEVEL_DEBUG && !debug_wanted))
        return;
    int kept = errno;
    char line[LOG_LINE_MAX];
    size_t length = 0;
    if (priorities) {
        line[length++] = '<';
        line[length++] = (char)('0' + (int)level);
        line[length++] = '>';
    }

    size_t start = length;
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + length, sizeof(line) - length, format, arguments);
    va_end(arguments);
    if (wanted > 0)
        length += (size_t)wanted < sizeof(line) - length ? (size_t)wanted : sizeof(line) - length - 1;
    tame(line + start, length - start);
    line[length++] = '\n'; /* where vsnprintf puts its NUL */
    add_line(line, length, !gathers || level < LOG_LEVEL_INFO);
    errno = kept;
}

char *log_quote(char *quoted, size_t size, const char *text) {
    static const char digits[] = "0123456789abcdef";
    size_t length = 0;
    size_t fitting = 1; /* where the text can be cut so that `..."` still fits */
    quoted[length++] = '"';
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
        if (length + (plain ? 1 : 4) + 2 > size) {
            length = fitting;
            memcpy(quoted + length, "...", 3);
            length += 3;
            break;
        }
        if (plain) {
            quoted[length++] = (char)byte;
        } else {
            quoted[length++] = '\\';
            quoted[length++] = 'x';
            quoted[length++] = digits[byte >> 4];
            quoted[length++] = digits[byte & 15];
        }
        if (length + 5 <= size)
            fitting = length;
    }
    quoted[length++] = '"';
    quoted[length] = '\0';
    return quoted;
}

bool log_printed(void) {
    return fflush(stdout) == 0 && !ferror(stdout);
}
