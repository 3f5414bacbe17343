/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A worker: one process with one event loop for all connections that it accepted. It has no network of its own, only
 * the listening sockets that it inherited.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/settings.h"
#include "connection.h"
#include "content/capsule.h"
#include "protocol/certificate.h"

#define LISTENERS_MAX 16

/* A listening socket, and the port that requests over it must name. */
struct listener {
    int descriptor;
    uint16_t port;
};

/* How long connections may take, in milliseconds. */
struct deadlines {
    unsigned of[DEADLINE_COUNT];
    unsigned shutdown_grace; /* how long open connections may continue when the worker must stop */
};

/*
 * Memory that the supervisor and one worker share. The worker writes it. Other workers can read it but not write it, so
 * each has pages of its own (64 KiB is the largest page size).
 */
struct worker_shared {
    _Alignas(
        65536) _Atomic uint64_t beats; /* grows at least every WORKER_BEAT milliseconds while the event loop is alive */
    _Atomic int ready;                 /* 1 while it accepts new connections */
    _Atomic int forbidden;             /* the number of the forbidden system call that ended it; -1: none */
    _Atomic int room;                  /* 1 while it has a place for a connection */
    bool used;                         /* an earlier worker used it; set by the supervisor */
    struct counters counters;
    struct quota_table quota;
};

#define WORKER_BEAT 500

struct worker_setup {
    const struct listener *listeners;
    size_t listener_count;
    const struct capsules *capsules;
    const struct certificates *certificates;
    const struct settings *settings;
    int channel;          /* to the key process, non-blocking */
    const char *fallback; /* the host whose identity clients without a known server name get */
    struct deadlines deadlines;
    struct worker_shared *shared;
    const struct worker_shared *all_shared; /* of all workers, including its own */
    size_t shared_count;
    const uint8_t *hash_key; /* KEYED_HASH_KEY bytes, the same for all workers */
    const uint8_t *probe;    /* probe_address.h */
    size_t kept_most;        /* bytes of what it keeps of the content folder (kept.h) */
};

/*
 * Serves until SIGTERM, then until the open connections have finished or deadlines.shutdown_grace is over; or until
 * SIGHUP (its generation ends), then until the open connections have finished. Returns the exit status for the process:
 * 0, or 1 after logging why.
 */
int worker_serve(const struct worker_setup *setup);
