/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The key process. It holds all private keys and gives none away: it makes or loads identities, returns their public
 * part, and signs. It reads only messages with checked sizes (control.h, signing.h).
 *
 * It signs TLS handshakes (signing.h); for each worker, only with the identities that this worker serves.
 *
 * Two kinds of sockets lead to it, both SOCK_SEQPACKET. Over the control socket, the supervisor asks for identities and
 * passes channels; over a channel, one worker asks for signatures. Workers do not share channels; otherwise one could
 * read another's answers.
 */

#include <stdbool.h>
#include <stddef.h>

#include "protocol/certificate.h"

#define KEY_SERVICE_CONTROLS_MAX 4
#define KEY_SERVICE_CHANNELS_MAX 256 /* 64 workers, two earlier generations, and replacements */

struct key_service_options {
    const char *state;                      /* the state folder; NULL: identities come only from credentials */
    const char *credentials;                /* the folder of credentials; NULL: none */
    int controls[KEY_SERVICE_CONTROLS_MAX]; /* connected control sockets; the key process owns them from now on */
    size_t control_count;
    int channels[KEY_SERVICE_CHANNELS_MAX]; /* channels kept over a restart; the key process owns these, too */
    size_t channel_count;
    const struct certificates *certificates; /* what the workers at these channels serve; NULL: not known */
    int listener;                            /* a listening control socket, or -1 */
    bool patient; /* at the first signal to stop, go on until the last control socket is closed */
};

/*
 * Serves until SIGTERM, or SIGINT if the caller sets it (see also patient), or, without a listener, until the last
 * control socket is closed. Returns the exit status: 0; EX_NOINPUT if a folder is missing; EX_OSERR. Unless it is 0,
 * one sentence has been logged.
 */
int key_service_serve(const struct key_service_options *options);

/*
 * Runs the key process as a separate service: takes its sockets from the service manager, which also keeps those of
 * supervisors and workers (sd_notify(3), FDSTORE=1), so that the next key process can continue with them. Returns the
 * exit status: as key_service_serve, or EX_USAGE if there is no listening socket. path: where to listen if the service
 * manager passes no socket (key_listener.h); NULL: nowhere. If it listens itself, it stops after its servers, because
 * container engines stop both at the same time; a second SIGTERM ends it at once.
 */
int key_service_run(const char *state, const char *path);
