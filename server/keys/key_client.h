/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The supervisor's side of a control socket (control.h): what it asks of the key process. */

#include <stdbool.h>
#include <stddef.h>

#include "protocol/certificate.h"

/* Has the other end been closed for good? Then this socket can never reach a key process again. */
bool key_client_is_gone(int control);

enum key_client_answer {
    KEY_CLIENT_PROVIDED,
    KEY_CLIENT_HAVE_NONE, /* none could be made; the reason was logged, usually by the key process */
    KEY_CLIENT_UNUSABLE,  /* there is one that cannot be used; the key process logged why */
    KEY_CLIENT_SILENT,    /* of the sample: no response came, or none of this version; this was logged */
};

typedef void key_client_told(const char *host, enum key_client_answer answer, void *context);

/*
 * Asks for the identities of hosts (canonical, hostname.h); one is made for a host that has none. Adds their public
 * parts to `certificates`, whose generation may get signatures with them from now on. Calls `told` for each host, in
 * turn; for a host that is named twice, or is there already, once or not at all. Waits for each answer at most 12
 * seconds, and notifies the watchdog meanwhile. Returns false if no response came, or none of this version; this was
 * logged, and the remaining hosts were not asked for.
 */
bool key_client_provide(int control, char *const *hosts, size_t count, struct certificates *certificates,
                        key_client_told *told, void *context);

/*
 * The same for the host of the sample capsule. Returns KEY_CLIENT_HAVE_NONE, without a log line, if there is an
 * identity of any other host: then somebody's pages are missing, and their clients must not get this certificate.
 */
enum key_client_answer key_client_provide_sample(int control, const char *host, struct certificates *certificates);

/* Makes the key process read given identities again before it answers later requests. */
void key_client_refresh(int control);

/*
 * Announces that key_client_provide will be called for this host, so that the identities of new hosts are written to
 * disk at once. If this fails, that call makes the identity.
 */
void key_client_prepare(int control, const char *host);

/*
 * Passes the key process its end of the channel of a worker that serves `certificates`: the worker gets signatures only
 * with their keys. The caller keeps its own copy. Returns 0 or -errno.
 */
int key_client_attach(int control, int channel, const struct certificates *certificates);
