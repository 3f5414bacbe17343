/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Opening what lies beneath a folder, and nothing else: links are followed as long as they stay inside.
 *
 * The kernel does that in one call, openat2(2). But systemd answers that call with ENOSYS for every service with
 * DynamicUser= (its filter against set-user-ID files cannot look into the call's memory), and there the path is walked
 * name by name, with the same result.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>

/* Flags to read what somebody else put there. Nothing of this may block: not a FIFO without a writer, nor a terminal.
 */
#define BENEATH_READ (O_RDONLY | O_NONBLOCK | O_NOCTTY)

#define BENEATH_PATH_SIZE 4096 /* bytes of a path, its NUL included; Linux knows no longer ones */

/*
 * Opens a path, relative to `folder`. flags: as of open(2), none that makes a file; O_CLOEXEC is added.
 * Returns a descriptor, the caller's to close, or -errno: -EXDEV for a path or link that leads out of the folder (an
 * absolute one always does), -ELOOP for too many links, -ENAMETOOLONG for a path above 4095 bytes, else as open(2).
 */
int beneath_open(int folder, const char *path, int flags);

/* The same as beneath_open, always name by name. */
int beneath_walk(int folder, const char *path, int flags);

/*
 * A path on its way through folders that belong to several people. Its first name lies in the start folder, whose owner
 * may link to anything beneath it. Any other link may lead to the folder that this name stands for, and no further out.
 *
 * The caller sets the first four members; the others are filled in.
 */
struct beneath_path {
    char text[BENEATH_PATH_SIZE]; /* the path; afterwards where it really leads: no link, no `.`, no `..` is left in the
                                     first `reached` bytes, nor, if the call succeeded, in the rest */
    bool is_confined;             /* false: links may lead to everything beneath the start folder */
    /* NULL, or called for each folder that is entered, with `folder` and `reached` set. Returns 0 or -errno, which ends
     * the walk. After a link the walk begins again, so it may be called more than once for a folder. */
    int (*enter)(struct beneath_path *path);
    void *context;

    int folder;     /* the innermost folder that was entered (O_PATH), or -1: none; beneath_leave closes it */
    size_t reached; /* bytes of text that lead to it, with its slash */
    size_t root;    /* bytes of text that the first name stands for, with a slash; 0: it was not reached */
    bool strayed;   /* a link behind the first name was followed */

    size_t floor,
        behind_name; /* of the walk itself: what `..` may not climb above; length of the path without its first name */
};

/*
 * Opens a path, relative to `folder`. Returns a descriptor, the caller's to close, or -errno as beneath_open; -EXDEV
 * also for a link that leads too far out. beneath_leave is due in every case.
 */
int beneath_follow(struct beneath_path *path, int folder, int flags);

/* The same for a path that ends with a slash: enters its last folder, too. Returns 0 or -errno. */
int beneath_enter(struct beneath_path *path, int folder);

/* Closes what a path holds open. It may be called again. */
void beneath_leave(struct beneath_path *path);

/* Opens a confined path. Returns a descriptor or -errno. */
int beneath_open_confined(int folder, const char *path, int flags);

/* Does this -errno say that the system has no room just now? Then nobody knows what is there. */
bool beneath_is_busy(long error);
