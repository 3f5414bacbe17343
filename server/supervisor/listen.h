/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Listening sockets: from the service manager, or opened here. */

#include <stdbool.h>
#include <stddef.h>

#include "worker/worker.h"

/*
 * Opens a listening socket for "ADDR:PORT" or "[ADDR]:PORT"; ADDR is a literal. only_six: an IPv6 socket does not
 * accept IPv4. Otherwise, [::] serves both families. Returns 0, or the exit status after logging one sentence.
 */
int listen_open(const char *address, bool only_six, struct listener *listener);

/*
 * Makes a listener from a descriptor of the service manager. Returns false after logging one sentence if it is not a
 * listening stream socket.
 */
bool listen_adopt(int descriptor, struct listener *listener);

enum listen_state { LISTEN_GOOD, LISTEN_MENDED, LISTEN_DEAD };

/*
 * Checks a listener: LISTEN_MENDED if it was in blocking mode, where it would have made workers wait, and is corrected
 * now; LISTEN_DEAD if it can accept no more connections (shutdown(2)).
 */
enum listen_state listen_look_after(const struct listener *listener);

/* Is this text an IPv4 address? ("[" begins an IPv6 one.) */
bool listen_is_four(const char *address);
