/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The program under test as a process on this machine, with its own temporary folder and free ports, and the requests
 * that tests send to it. Every function here ends the test with a failure if it does not succeed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client.h"

#define SERVER_ARGUMENTS_MAX 16
#define WORKERS_MAX 64

struct server {
    char folder[64]; /* contains content/, state/ and log; removed at the end */
    uint16_t port;
    pid_t process; /* 0: not running */
    int notified;  /* receives what the server sends to its service manager */

    /* Set these between server_prepare and server_start; zeroes are the defaults. */
    const char *arguments[SERVER_ARGUMENTS_MAX]; /* instead of --listen 127.0.0.1:PORT; ends with NULL */
    unsigned watchdog;                           /* microseconds */
    size_t descriptors;                          /* RLIMIT_NOFILE */
    bool as_init;                                /* run as PID 1 of a PID namespace */
    int handed_over;                             /* a listening socket, for socket activation; 0: none */

    char settings[128];    /* the path of vitrine.conf; "": none, until server_put_settings */
    uint16_t proxied_port; /* listens on it, too, where a PROXY protocol header comes first; 0: none */
};

/* Makes the folder, with content/localhost/index.gmi, and chooses a port. */
void server_prepare(struct server *server);

/* The path of the program under test. */
const char *server_program(void);

/* Writes these settings, with which the program starts, or which it reads at the next reload. */
void server_put_settings(struct server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, and a second port on 127.0.0.1 where a PROXY protocol header comes first: server->proxied_port. */
void server_put_settings_proxied(struct server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Starts the program and waits for READY=1. */
void server_start(struct server *server);

/* Starts the program and waits for nothing. */
void server_launch(struct server *server);

/* server_prepare and server_start. */
void server_begin(struct server *server);

/*
 * Sends a signal and waits for the end, after SIGKILL also for remaining workers. Returns the exit status, or minus the
 * signal that ended the program.
 */
int server_stop(struct server *server, int signal);

/* Stops the program if it still runs, which must succeed, and removes the folder. */
void server_end(struct server *server);

/* Makes a file and the folders above it. `path` is below content/. */
void server_put(const struct server *server, const char *path, const void *bytes, size_t size);
void server_put_text(const struct server *server, const char *path, const char *text);

/* Returns everything that the program wrote so far. The caller frees it. */
char *server_log(const struct server *server);

/* Is this text in the log, now or within five seconds? */
bool server_logged(const struct server *server, const char *text);

/*
 * Returns the next message to the service manager that contains `text`, within `patience` milliseconds; NULL: none
 * came.
 */
const char *server_told(struct server *server, const char *text, unsigned patience);

/* Tells the server to reload, and returns its message at the end, which contains READY=1. */
const char *server_reload(struct server *server);

/* Discards earlier messages. */
void server_forget_told(const struct server *server);

/* Finds the workers, children of the supervisor. Returns their number; fails the test if there are none. */
size_t server_workers(const struct server *server, pid_t workers[static WORKERS_MAX]);

/* The same, if there may be none for a moment. */
size_t server_workers_if_any(const struct server *server, pid_t workers[static WORKERS_MAX]);

/* Returns the key process, a child of the supervisor; 0: there is none. */
pid_t server_keys(const struct server *server);

/* Returns user and system time of a process so far, in milliseconds. */
uint64_t processor_time(pid_t process);

/*
 * Returns the memory of a process in kB: its proportional set size, which divides shared pages among the processes that
 * have them.
 */
size_t process_memory(pid_t process);

/* Returns its private memory in kB: how many processes share a page depends on the servers of other tests. */
size_t process_private_memory(pid_t process);

/* Returns the number that the row `id` of docs/SPECIFICATION.md promises; fails the test if there is none. */
size_t promised(const char *id);

/* Returns a port of 127.0.0.1 and ::1 on which nothing listens. */
uint16_t free_port(void);

/* Runs the program with these arguments (NULL at the end) and waits, at most ten seconds. Returns its exit status. */
int run_program(char *output, size_t size, const char *const *arguments);

/* Returns the default way to the server: TLS with the server name localhost. */
struct gemini_way way_to(const struct server *server);

/*
 * Sends one request and returns the response; `request` has no CRLF, and PORT in it becomes the server's port. The
 * response must be complete and well-formed. It is valid until the next request.
 */
const struct gemini_reply *ask(const struct server *server, const char *request);
const struct gemini_reply *ask_by(const struct gemini_way *way, const char *request);

/* The same for exactly these bytes. */
const struct gemini_reply *ask_bytes(const struct gemini_way *way, const void *bytes, size_t size);

/* Checks what every complete response must be (protocol rows 7 to 10). */
void expect_well_formed(const struct gemini_reply *reply, const char *what);

/* Sends a request; the status must be this one. */
void expect_status(const struct server *server, const char *request, int status);

/* Sends a request; the status must be 20 and the body this text. */
void expect_page(const struct server *server, const char *request, const char *body);

/* Returns `text` with PORT replaced, in a buffer that is valid until the next call. */
const char *with_port(const char *text, uint16_t port);
