/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The control socket of a key process without a service manager, for example in a separate container. */

/*
 * Listens on a UNIX socket (SOCK_SEQPACKET) at a path that begins with '/'. The socket is for its owner only (0600)
 * from the moment that it is there. One that nobody listens on any more is replaced; nothing else is. Returns 0, or the
 * exit status after logging one sentence: EX_USAGE for such a path, EX_UNAVAILABLE if another process listens there,
 * EX_CANTCREAT if it cannot be made.
 */
int key_listener_open(const char *path, int *listener);
