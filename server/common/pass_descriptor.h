/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Passing an open file to another process (SCM_RIGHTS, unix(7)). */

#include <stddef.h>

/*
 * Sends a message with one descriptor, which stays the caller's, over a Unix socket. Waits until there is room. Returns
 * 0 or -errno.
 */
int pass_descriptor(int socket, const void *bytes, size_t size, int descriptor);
