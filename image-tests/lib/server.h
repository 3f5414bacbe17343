/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The program under test as a process of this machine, with a temporary folder and free ports of its own, and the
 * questions that tests put to it. Everything here ends the test with a failure when it does not succeed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client.h"

#define SERVER_ARGUMENTS_MAX 16
#define WORKERS_MAX 64

struct server {
    char folder[64]; /* holds content/, state/ and log; is removed at the end */
    uint16_t port;
    pid_t process; /* 0: not running */
    int notified;  /* receives what the server tells its service manager */

    /* To be set between server_prepare and server_start; zeroes are the usual way. */
    const char *arguments[SERVER_ARGUMENTS_MAX]; /* in place of --listen 127.0.0.1:PORT; ends with NULL */
    unsigned watchdog;                           /* microseconds */
    size_t descriptors;                          /* RLIMIT_NOFILE */
    bool as_init;                                /* is PID 1 of a PID namespace */
    int handed_over;                             /* a listening socket, for socket activation; 0: none */
};

/* Makes the folder, with content/localhost/index.gmi in it, and chooses a port. */
void server_prepare(struct server *server);

/* The path of the program under test. */
const char *server_program(void);

/* Starts the program and waits until it says READY=1. */
void server_start(struct server *server);

/* Starts the program and waits for nothing. */
void server_launch(struct server *server);

/* server_prepare and server_start. */
void server_begin(struct server *server);

/*
 * Sends a signal and waits, after SIGKILL also for workers left behind. Returns the exit status, or minus the signal
 * that ended the program.
 */
int server_stop(struct server *server, int signal);

/* Ends a program that still runs, which must stop well, and removes the folder. */
void server_end(struct server *server);

/* Makes a file and the folders above it. `path` is below content/. */
void server_put(const struct server *server, const char *path, const void *bytes, size_t size);
void server_put_text(const struct server *server, const char *path, const char *text);

/* Everything that the program wrote so far. The caller frees it. */
char *server_log(const struct server *server);

/* Is this in the log, now or within five seconds? */
bool server_logged(const struct server *server, const char *text);

/* The next message to the service manager that contains `text`, within `patience` milliseconds; NULL: none came. */
const char *server_told(struct server *server, const char *text, unsigned patience);

/* Tells the server to reload, and returns what it says when it is through; READY=1 is in it. */
const char *server_reload(struct server *server);

/* Forgets the messages that came so far: they tell of earlier. */
void server_forget_told(const struct server *server);

/* The workers, children of the supervisor. Returns how many there are; a test that would look at none fails. */
size_t server_workers(const struct server *server, pid_t workers[static WORKERS_MAX]);

/* The same where there may be none for a moment. */
size_t server_workers_if_any(const struct server *server, pid_t workers[static WORKERS_MAX]);

/* The key process, a child of the supervisor; 0: there is none. */
pid_t server_keys(const struct server *server);

/* User and system time of a process so far, in milliseconds. */
uint64_t processor_time(pid_t process);

/* Memory of a process in kB: its proportional set size, in which shared pages are shared out among those who have them.
 */
size_t process_memory(pid_t process);

/* What it shares with no other process, in kB: how many share a page depends on the servers of other tests. */
size_t process_private_memory(pid_t process);

/* The number that the row `id` of docs/SPECIFICATION.md promises; ends the test where there is none. */
size_t promised(const char *id);

/* A port of 127.0.0.1 and ::1 that nothing listens on. */
uint16_t free_port(void);

/* Runs the program with these arguments (NULL at the end) and waits, at most ten seconds. Returns its exit status. */
int run_program(char *output, size_t size, const char *const *arguments);

/* The usual way to the server: TLS with the server name localhost. */
struct gemini_way way_to(const struct server *server);

/*
 * Asks one question and gives the reply; `request` is without CRLF, and PORT in it becomes the server's port.
 * The reply must be whole and its header well formed, whatever it is. It lives until the next question.
 */
const struct gemini_reply *ask(const struct server *server, const char *request);
const struct gemini_reply *ask_by(const struct gemini_way *way, const char *request);

/* The same for exactly these bytes. */
const struct gemini_reply *ask_bytes(const struct gemini_way *way, const void *bytes, size_t size);

/* What every whole reply must be (protocol rows 7 to 10). */
void expect_well_formed(const struct gemini_reply *reply, const char *what);

/* Asks; the status must be this one. */
void expect_status(const struct server *server, const char *request, int status);

/* Asks; the status must be 20 and the body this text. */
void expect_page(const struct server *server, const char *request, const char *body);

/* `text` with PORT replaced, in a buffer of its own until the next call. */
const char *with_port(const char *text, uint16_t port);
