/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Opening what lies beneath a folder, and nothing else: links are followed as long as they stay inside.
 *
 * The kernel does that in one call, openat2(2). But systemd answers that call with ENOSYS for every service with
 * DynamicUser= (its filter against set-user-ID files cannot look into the call's memory), and there the path is walked
 * name by name, with the same result.
 */

#include <stdbool.h>
#include <stddef.h>

/*
 * Opens a path, relative to `folder`. flags: as of open(2), none that makes a file; O_CLOEXEC is added.
 * Returns a descriptor, the caller's to close, or -errno: -EXDEV for a path or link that leads out of the folder (an
 * absolute one always does), -ELOOP for too many links, -ENAMETOOLONG for a path above 4095 bytes, else as open(2).
 */
int beneath_open(int folder, const char *path, int flags);

/*
 * The same for a path whose first `length` bytes, which end with a slash, have just led to the folder `parent`: a plain
 * name behind them is opened there, without walking the whole way again. parent: -1 where it is not known.
 */
int beneath_open_behind(int folder, const char *path, int parent, size_t length, int flags);

/* The same as beneath_open, always name by name. */
int beneath_walk(int folder, const char *path, int flags);

/* Does this -errno say that the system has no room just now? Then nobody knows what is there. */
bool beneath_is_busy(long error);
