/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Listening sockets: those that the service manager hands over, and those that are opened here.
 */

#include <stdbool.h>
#include <stddef.h>

#include "worker/worker.h"

/*
 * Opens a listening socket for "ADDR:PORT" or "[ADDR]:PORT"; ADDR is a literal.
 * only_six: an IPv6 socket leaves IPv4 alone. When it does not, [::] serves both families.
 * Returns 0, or the exit status after logging one sentence.
 */
int listen_open(const char *address, bool only_six, struct listener *listener);

/*
 * Makes a listener of a descriptor from the service manager. Returns false after logging one sentence when it is no
 * listening stream socket.
 */
bool listen_adopt(int descriptor, struct listener *listener);

enum listen_state { LISTEN_GOOD, LISTEN_MENDED, LISTEN_DEAD };

/*
 * Looks whether a listener is as it was made: LISTEN_MENDED when it was not, and is now (it would have made its workers
 * wait); LISTEN_DEAD when no connection can come by it any more (shutdown(2)).
 */
enum listen_state listen_look_after(const struct listener *listener);

/* Does this text name an IPv4 address? ("[" begins an IPv6 one.) */
bool listen_is_four(const char *address);
