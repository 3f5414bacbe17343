/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Talks to the service manager: sockets that it passes, notifications, watchdog (sd_listen_fds(3), sd_notify(3),
 * sd_watchdog_enabled(3)). Without libsystemd, which the image does not contain.
 */

#include <stdbool.h>
#include <stddef.h>

#define SYSTEMD_SOCKETS_MAX 16

/* A descriptor that the service manager passed, and its name ("" for none). */
struct systemd_socket {
    int descriptor;
    char name[64];
};

/*
 * Takes the descriptors from LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, marks them close-on-exec and clears these
 * variables. Keeps the one named "notify" for systemd_notify. Closes any beyond `max`. Returns the number of
 * descriptors in `sockets`, which the caller owns.
 */
size_t systemd_take_sockets(struct systemd_socket *sockets, size_t max);

/*
 * Opens the notification socket: the descriptor that systemd_take_sockets found, or a connection to $NOTIFY_SOCKET.
 * Without either, systemd_notify does nothing. Call it after systemd_take_sockets.
 */
void systemd_open(void);

/*
 * Connects to a local socket: `type` SOCK_DGRAM, SOCK_SEQPACKET...; `path` begins with '/', or with '@' for an abstract
 * one. Returns a close-on-exec descriptor, which the caller owns, or -errno.
 */
int systemd_connect(const char *path, int type);

/* Sends one message such as "READY=1\nSTATUS=serving". It is not an error if the manager does not listen. */
void systemd_notify(const char *message);

/*
 * Makes the service manager keep a copy of a descriptor over a restart; systemd_take_sockets then finds it under this
 * name (FileDescriptorStoreMax=). The manager drops it when its other end is closed.
 */
void systemd_keep(int descriptor, const char *name);

/* Returns how often the service manager expects WATCHDOG=1, in milliseconds; 0 if it does not. */
unsigned systemd_watchdog_milliseconds(void);

/* Closes the notification socket; a worker does not need it. */
void systemd_close(void);
