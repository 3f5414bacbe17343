/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The service manager's side: sockets it hands over, what it wants to be told, and how often (sd_listen_fds(3),
 * sd_notify(3), sd_watchdog_enabled(3)). Spoken without libsystemd, which the image does not hold.
 */

#include <stdbool.h>
#include <stddef.h>

#define SYSTEMD_SOCKETS_MAX 16

/* A descriptor that the service manager handed over, and the name it gave it ("" for none). */
struct systemd_socket {
    int descriptor;
    char name[64];
};

/*
 * Takes the descriptors out of LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, marks them close-on-exec and clears these
 * variables. The one named "notify" is kept for systemd_notify. Of more than `max` the rest is closed.
 * Returns how many are in `sockets`; the caller owns them.
 */
size_t systemd_take_sockets(struct systemd_socket *sockets, size_t max);

/*
 * Gets ready to talk to the service manager: uses the descriptor that systemd_take_sockets found, or connects to
 * $NOTIFY_SOCKET. Without either, systemd_notify does nothing. Call after systemd_take_sockets.
 */
void systemd_open(void);

/*
 * Connects to a local socket: `type` SOCK_DGRAM, SOCK_SEQPACKET...; `path` begins with '/', or with '@' for an abstract
 * one. Returns a close-on-exec descriptor, the caller's, or -1 with errno.
 */
int systemd_connect(const char *path, int type);

/* Sends one message such as "READY=1\nSTATUS=serving". A manager that does not listen is no error. */
void systemd_notify(const char *message);

/*
 * Has the service manager keep a copy of a descriptor over a restart, after which systemd_take_sockets finds it by this
 * name (FileDescriptorStoreMax=). One whose other end is closed is dropped there by itself.
 */
void systemd_keep(int descriptor, const char *name);

/* How often the service manager wants to hear WATCHDOG=1, in milliseconds; 0 when it does not. */
unsigned systemd_watchdog_milliseconds(void);

/* Closes the way to the service manager; a worker has no business with it. */
void systemd_close(void);
