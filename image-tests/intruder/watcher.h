/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Parts of the watcher (watcher.c), which observes the host from outside while the intruder is at work. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine.h"

/* The promises. Each is one line of the result. */
enum promise {
    PROMISE_PORT,
    PROMISE_LISTENERS,
    PROMISE_FLAGS,
    PROMISE_LOG,
    PROMISE_NETWORK,
    PROMISE_WORKERS,
    PROMISE_FILES,
    PROMISE_SECRETS,
    PROMISE_BOARDS,
    PROMISE_PROCESSES,
    PROMISE_BOUNDS,
    PROMISE_FILTER,
    PROMISE_COUNT,
};

/* What the old filter allowed. */
enum escape {
    ESCAPE_CONNECTION, /* connects out of a listening socket, in the host's own network */
    ESCAPE_CLOSED,     /* closes a listening socket for everybody */
    ESCAPE_BLOCKING,   /* makes a socket blocking that all workers accept from, so that they hang */
    ESCAPE_MUTE,       /* silences the log of the whole service */
    ESCAPE_COUNT,
};

#define PIDS_MAX 96
#define CONTROL_GROUP_MAX 256
#define HONEST_FOUR "203.0.113.6" /* TEST-NET-3 (RFC 5737) and 2001:db8::/32 (RFC 3849), which belong to nobody */
#define HONEST_SIX "2001:db8::6"
#define SERVED_FOUR "203.0.113.5"
#define SERVED_SIX "2001:db8::5"

struct pids {
    pid_t list[PIDS_MAX];
    size_t count;
};

/* The current state of the service; read again after each start. */
struct service {
    char group[CONTROL_GROUP_MAX]; /* relative to /sys/fs/cgroup */
    pid_t supervisor, keys;
    pid_t monitor;    /* the process that started the container and is in its group; 0: none */
    char program[64]; /* "DEVICE:INODE" of what the supervisor runs */
};

/* Reports that a promise was broken: once for each kind and session. */
void broken(enum promise promise, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reports that this escape was found. */
void escaped(enum escape escape);

uint64_t now_milliseconds(void);
void rest(unsigned milliseconds);

/* ---- looks.c: processes, memory, descriptors, files ---- */

/* Returns false if the service does not run. */
bool service_look(struct service *service);

/* Lists its supervisor, its workers, and any other processes in it. */
void service_pids(const struct service *service, struct pids *pids);

/* Does the supervisor live? If not, nothing else of the service is valid. */
bool service_lives(const struct service *service);
bool pids_hold(const struct pids *pids, pid_t pid);

/* Returns the PID by which a process knows itself, and which the log shows: in a container, it differs. */
pid_t own_number(pid_t pid);

/* Reads or writes the memory of a process. Returns false if it does not exist (any more). */
bool memory_read(pid_t pid, uint64_t at, void *into, size_t size);
bool memory_write(pid_t pid, uint64_t at, const void *from, size_t size);

/* Does this process have the engine's arena? Every worker that has begun to serve has it. */
bool is_worker(pid_t pid);

/*
 * Reads the secrets that must not be found: the token of the decoys, and the beginning of the private key. Returns
 * false if that fails.
 */
bool secrets_read(const char *surroundings);
void look_for_secrets(const struct service *service);
const uint8_t *secret_text(size_t which, size_t *size);

/* Did this process change the counters of other workers? */
void look_at_shared(pid_t pid);

/* Checks the processes and threads of the service, what they run, and their memory. */
void look_at_processes(const struct service *service);

/* Checks the descriptors that the supervisor shares with others: flags and positions. keep: stores their current
 * state. */
void look_at_descriptors(const struct service *service, bool keep);

/* Checks the sockets that listen on the port, as the host sees them. */
void look_at_listeners(unsigned port, bool keep);

/* Checks all files in folders that are within reach. */
void look_at_files(const struct service *service, const char *folder, bool keep);

/* ---- beside.c: other processes of the test: clients, the log, packets, the decoys ---- */

/* Starts all of them. `folder` is that of the decoys. Returns false after printing the reason. */
bool beside_start(const char *folder, unsigned port);
void beside_stop(void);

/* Returns the number of successful visits for the address family (0: IPv4, 1: IPv6). */
uint64_t visits_made(unsigned family);
uint64_t visits_failed(void);

/* Reads the new lines of the log. Has the supervisor reported the end of the process with this PID (own_number)? */
bool log_tells_of(pid_t number);

/* Checks for packets without a request, and what the decoys received since the last check. */
void look_at_network(void);
