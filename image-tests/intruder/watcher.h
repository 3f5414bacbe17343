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
    ESCAPE_CONNECTION, /* out of a listening socket, into the host's own network */
    ESCAPE_CLOSED,     /* a listening socket, for everybody */
    ESCAPE_BLOCKING,   /* a socket that all workers accept from, so that they hang */
    ESCAPE_MUTE,       /* the log of the whole service */
    ESCAPE_COUNT,
};

#define PIDS_MAX 96
#define CONTROL_GROUP_MAX 256
#define HONEST_FOUR "203.0.113.6" /* TEST-NET-3 (RFC 5737) and 2001:db8::/32 (RFC 3849): nobody's addresses */
#define HONEST_SIX "2001:db8::6"
#define SERVED_FOUR "203.0.113.5"
#define SERVED_SIX "2001:db8::5"

struct pids {
    pid_t list[PIDS_MAX];
    size_t count;
};

/* The service as it is; read anew after each start. */
struct service {
    char group[CONTROL_GROUP_MAX]; /* below /sys/fs/cgroup */
    pid_t supervisor, keys;
    pid_t monitor;    /* of a container: the process that has started it, and is in its group. 0: there is none */
    char program[64]; /* "DEVICE:INODE" of what the supervisor runs */
};

/* Says that a promise was broken: once for each kind and session. */
void broken(enum promise promise, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says that one of these was found. */
void escaped(enum escape escape);

uint64_t now_milliseconds(void);
void rest(unsigned milliseconds);

/* ---- looks.c: processes, memory, descriptors, files ---- */

/* Returns false while the service does not run. */
bool service_look(struct service *service);

/* Its supervisor and its workers, and whatever else has come. */
void service_pids(const struct service *service, struct pids *pids);

/* Does the supervisor live? When it has gone, nothing else of the service is as it was. */
bool service_lives(const struct service *service);
bool pids_hold(const struct pids *pids, pid_t pid);

/* The number by which a process knows itself, and by which the log tells of it: in a container, another one. */
pid_t own_number(pid_t pid);

/* Reads or writes the memory of a process. Returns false when it is not there (any more). */
bool memory_read(pid_t pid, uint64_t at, void *into, size_t size);
bool memory_write(pid_t pid, uint64_t at, const void *from, size_t size);

/* Does this process have the engine's arena? A worker that has begun to serve has. */
bool is_worker(pid_t pid);

/*
 * The secrets that must not be found: the token of the decoys, and the begin of the private key. false: cannot be read.
 */
bool secrets_read(const char *surroundings);
void look_for_secrets(const struct service *service);
const uint8_t *secret_text(size_t which, size_t *size);

/* Did a read reach into the counters of other workers? */
void look_at_shared(pid_t pid);

/* Processes and threads of the service, and what they run; what they have of memory. */
void look_at_processes(const struct service *service);

/* Descriptors that the supervisor shares with others: flags and positions. keep: remember them as they are now. */
void look_at_descriptors(const struct service *service, bool keep);

/* The sockets that listen on the port, as the host sees them. */
void look_at_listeners(unsigned port, bool keep);

/* Everything that lies in folders which are within reach. */
void look_at_files(const struct service *service, const char *folder, bool keep);

/* ---- beside.c: what runs beside: visits, the log, packets, the decoys ---- */

/* Starts it all. `folder` is that of the decoys. Returns false after saying why. */
bool beside_start(const char *folder, unsigned port);
void beside_stop(void);

/* How many visits succeeded by the address family (0: IPv4, 1: IPv6). */
uint64_t visits_made(unsigned family);
uint64_t visits_failed(void);

/* Reads what the log has brought. Has the supervisor told of the end of the process with this number (own_number)? */
bool log_tells_of(pid_t number);

/* Packets that nobody had asked for, and what the decoys heard, since the last look. */
void look_at_network(void);
