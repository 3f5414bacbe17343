/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* The size of a pipe, so that one read takes everything. */
#define PIPE_SIZE 65536

/* ---- the worker's end ---- */

int relay_open(struct relay *relay) {
    int ends[2];
    relay->pipe = -1;
    /* A worker does not wait for room: it counts lost lines (log.c). */
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    *relay = (struct relay){.pipe = ends[0]};
    return ends[1];
}

int relay_enter(int end) {
    /* It needs no standard input and output; they would be connected to the journal, as its standard error was. */
    for (int standard = STDIN_FILENO; standard <= STDERR_FILENO; standard++) {
        if (standard != end && dup2(end, standard) < 0)
            return -errno;
    }
    if (end > STDERR_FILENO)
        close(end);
    log_with_priorities();
    return 0;
}

/* ---- the supervisor's end ---- */

/* Lines that are written together. */
struct batch {
    char text[LOG_LINE_MAX];
    size_t size;
};

static void write_batch(struct batch *batch) {
    log_write(batch->text, batch->size);
    batch->size = 0;
}

/* Returns the priority of a line and removes "<6>" from its start. */
static enum log_level level_of(struct relay *relay, const char **line, size_t *size) {
    enum log_level level = LOG_LEVEL_INFO;
    if (*size >= 3 && (*line)[0] == '<' && (*line)[1] >= '0' && (*line)[1] <= '7' && (*line)[2] == '>') {
        level = (enum log_level)((*line)[1] - '0');
        *line += 3;
        *size -= 3;
    }
    if (level < RELAY_GRAVEST)
        level = RELAY_GRAVEST;
    if (level < LOG_LEVEL_INFO && ++relay->grave > RELAY_GRAVE_MAX)
        level = LOG_LEVEL_INFO;
    return level;
}

/* Honest lines are plain ASCII (log_quote). Remove everything else, which a terminal might interpret. */
static void tame(char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (text[i] < ' ' || text[i] > '~')
            text[i] = '?';
    }
}

static void add_line(struct batch *batch, struct relay *relay, pid_t worker, const char *line, size_t size) {
    char start[40];
    enum log_level level = level_of(relay, &line, &size);
    size_t length = log_has_priorities()
                        ? (size_t)snprintf(start, sizeof start, "<%d>worker %d: ", (int)level, (int)worker)
                        : (size_t)snprintf(start, sizeof start, "worker %d: ", (int)worker);
    if (length + size + 1 > sizeof batch->text)
        size = sizeof batch->text - length - 1;
    if (batch->size + length + size + 1 > sizeof batch->text)
        write_batch(batch);
    memcpy(batch->text + batch->size, start, length);
    batch->size += length;
    memcpy(batch->text + batch->size, line, size);
    tame(batch->text + batch->size, size);
    batch->size += size;
    batch->text[batch->size++] = '\n';
}

bool relay_lines(struct relay *relay, pid_t worker, uint64_t now) {
    static char text[PIPE_SIZE];
    static struct batch batch;
    if (relay->pipe < 0)
        return false;
    ssize_t got = read(relay->pipe, text, sizeof text);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    if (now >= relay->period_ends) {
        relay->grave = 0;
        relay->period_ends = now + RELAY_PERIOD;
    }
    /* Honest lines arrive complete: each is one write, small enough to be atomic. */
    for (const char *line = text, *end = text + got; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t size = (size_t)((stop ? stop : end) - line);
        if (size > 0)
            add_line(&batch, relay, worker, line, size);
        line += size + 1;
    }
    write_batch(&batch);
    return true;
}

void relay_close(struct relay *relay, pid_t worker, uint64_t now) {
    if (relay->pipe < 0)
        return;
    /* A worker that has ended writes no more. One that was only given up could write forever. */
    for (int i = 0; i < 2 && relay_has_room() && relay_lines(relay, worker, now); i++)
        ;
    close(relay->pipe);
    relay->pipe = -1;
}

bool relay_has_room(void) {
    struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) == 1; /* also if the reader has closed it: then writing fails at once */
}
