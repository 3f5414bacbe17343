/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The verb `renew`: the one way in which an identity of the state folder is replaced. Says what clients will see.
 */

#include <stdbool.h>

struct renewal {
    const char *host; /* in any spelling */
    bool new_key;     /* move to a new key, in two steps */
    bool announce;    /* the first of these: make the next identity (HOST.next) and show it */
};

/*
 * Renews; everything is on disk, or as it was. Returns the exit status: 0; EX_NOINPUT when there is nothing to renew or
 * nothing was announced, EX_DATAERR for an identity that cannot be renewed here, EX_CANTCREAT, EX_IOERR. All but 0
 * after logging one sentence.
 */
int renew(const char *state, const struct renewal *renewal);
