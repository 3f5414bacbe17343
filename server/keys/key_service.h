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

/* ---- the supervisor's side of a control socket ---- */

/* Has the other end been closed for good? Then this socket can never reach a key process again. */
bool key_service_is_gone(int control);

enum key_service_answer {
    KEY_SERVICE_PROVIDED,
    KEY_SERVICE_HAVE_NONE, /* none could be made; the reason was logged, usually by the key process */
    KEY_SERVICE_UNUSABLE,  /* there is one that cannot be used; the key process logged why */
    KEY_SERVICE_SILENT,    /* of the sample: no response came, or none of this version; this was logged */
};

typedef void key_service_told(const char *host, enum key_service_answer answer, void *context);

/*
 * Asks for the identities of hosts (canonical, hostname.h); one is made for a host that has none. Adds their public
 * parts to `certificates`, whose generation may get signatures with them from now on. Calls `told` for each host, in
 * turn; for a host that is named twice, or is there already, once or not at all. Waits for each answer at most 12
 * seconds, and notifies the watchdog meanwhile. Returns false if no response came, or none of this version; this was
 * logged, and the remaining hosts were not asked for.
 */
bool key_service_provide(int control, char *const *hosts, size_t count, struct certificates *certificates,
                         key_service_told *told, void *context);

/*
 * The same for the host of the sample capsule. Returns KEY_SERVICE_HAVE_NONE, without a log line, if there is an
 * identity of any other host: then somebody's pages are missing, and their clients must not get this certificate.
 */
enum key_service_answer key_service_provide_sample(int control, const char *host, struct certificates *certificates);

/* Makes the key process read given identities again before it answers later requests. */
void key_service_refresh(int control);

/*
 * Announces that key_service_provide will be called for this host, so that the identities of new hosts are written to
 * disk at once. If this fails, that call makes the identity.
 */
void key_service_prepare(int control, const char *host);

/*
 * Passes the key process its end of the channel of a worker that serves `certificates`: the worker gets signatures only
 * with their keys. The caller keeps its own copy. Returns 0 or -errno.
 */
int key_service_attach(int control, int channel, const struct certificates *certificates);
