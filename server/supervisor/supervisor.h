/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The supervisor: takes the sockets, sees to identities, starts one worker for each core, tells the service manager how
 * things stand and replaces a worker that died or hangs. Reads nothing from the network.
 */

#include <stddef.h>

#define LISTEN_MAX 16

/* What `vitrine serve` was told on its command line. Texts belong to the caller. */
struct serve_options {
    const char *listen[LISTEN_MAX]; /* ADDR:PORT or [ADDR]:PORT */
    size_t listen_count;            /* 0: sockets of the service manager, else port 1965 of all addresses */
    const char *content;            /* the content folder */
    const char *sample;             /* a content folder that is shown while the other one holds no capsule */
    const char *state;              /* the state folder */
    const char *settings;           /* the settings file; NULL: the usual one, if there is one */
    const char *keys; /* path of the key service's socket, unless a connection to it is handed over; or NULL */
};

/*
 * Serves until SIGTERM, SIGINT or (as PID 1 of a container) SIGRTMIN+3. SIGHUP: settings, capsules and identities are
 * read anew; workers of the old generation finish their connections, and nothing changes where something is wrong.
 * Returns the exit status (sysexits.h): 0; EX_USAGE for an address that is none; EX_NOINPUT for a folder that is
 * missing or unreadable; EX_UNAVAILABLE for an address that is taken, or when the key process cannot be reached, does
 * not answer or is gone for good; EX_CONFIG for faults in the settings; EX_CANTCREAT when no identity is to be had;
 * EX_OSERR when the system has no room. All but 0 after logging one sentence.
 */
int supervisor_serve(const struct serve_options *options);
