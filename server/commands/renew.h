/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The command `renew`: the only way to replace an identity in the state folder. Says what readers will see. */

#include <stdbool.h>

struct renewal {
    const char *host; /* in any spelling */
    bool new_key;     /* change to a new key, in two steps */
    bool announce;    /* the first step: make the next identity (HOST.next) and show it */
};

/*
 * Renews an identity; the result is on disk, or nothing has changed. Returns the exit status: 0; EX_NOINPUT if there is
 * nothing to renew or nothing was announced, EX_DATAERR if the identity cannot be renewed here, EX_CANTCREAT, EX_IOERR.
 * Unless it is 0, one sentence has been logged.
 */
int renew(const char *state, const struct renewal *renewal);
