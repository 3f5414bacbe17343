/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The supervisor: opens the sockets, gets identities, starts the workers, reports to the service manager,
 * and replaces workers that died or hang. Reads nothing from the network.
 */

#include <stddef.h>

#define LISTEN_MAX 16

/* The options of `vitrine serve`. The caller owns the strings. */
struct serve_options {
    const char *listen[LISTEN_MAX]; /* ADDR:PORT or [ADDR]:PORT */
    size_t listen_count;            /* 0: sockets of the service manager, or else port 1965 on all addresses */
    const char *content;            /* the content folder */
    const char *sample;             /* a content folder that is shown while `content` has no capsule */
    const char *state;              /* the state folder */
    const char *settings;           /* the settings file; NULL: the default one, if it exists */
    const char *keys; /* path of the key service's socket, if the service manager passes no connection to it; or NULL */
};

/*
 * Serves until SIGTERM, SIGINT or (as PID 1 of a container) SIGRTMIN+3. SIGHUP reads settings, capsules and identities
 * again; workers of the old generation finish their connections; if something is wrong, nothing changes. Returns the
 * exit status (sysexits.h): 0; EX_USAGE for an invalid address; EX_NOINPUT for a folder that is missing or unreadable;
 * EX_UNAVAILABLE for an address in use, or if the key process cannot be reached, does not answer or has ended for good;
 * EX_CONFIG for faults in the settings; EX_CANTCREAT if no identity could be made; EX_OSERR if the system lacks a
 * resource. Unless it is 0, one sentence has been logged.
 */
int supervisor_serve(const struct serve_options *options);
