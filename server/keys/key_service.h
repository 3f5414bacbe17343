/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The key process. It holds all private keys and gives none away: it makes or loads identities, tells what may be known
 * of them, and signs. It reads fixed-size messages only.
 *
 * It signs handshakes of TLS (signing.h), each worker's by the identities that it serves.
 *
 * Two kinds of sockets lead to it, both SOCK_SEQPACKET. By the control socket the supervisor asks for identities and
 * hands over channels; by a channel one worker asks for signatures. Workers do not share channels, or one could read
 * another's answers.
 */

#include <stdbool.h>
#include <stddef.h>

#include "protocol/certificate.h"

#define KEY_SERVICE_CONTROLS_MAX 4
#define KEY_SERVICE_CHANNELS_MAX 256 /* 64 workers, two earlier generations, and replacements */

struct key_service_options {
    const char *state;                      /* the state folder; NULL: identities are only taken from credentials */
    const char *credentials;                /* the folder of credentials; NULL: none */
    int controls[KEY_SERVICE_CONTROLS_MAX]; /* connected control sockets; owned by the key process from now on */
    size_t control_count;
    int channels[KEY_SERVICE_CHANNELS_MAX]; /* channels kept over a restart; owned likewise */
    size_t channel_count;
    const struct certificates *certificates; /* what the workers at these channels serve; NULL: that is not known */
    int listener;                            /* a listening control socket, or -1 */
};

/*
 * Serves until SIGTERM, or until there is no listener and the last control socket is closed.
 * Returns the exit status: 0; EX_NOINPUT for a folder that is missing; EX_OSERR. All but 0 after logging one sentence.
 */
int key_service_serve(const struct key_service_options *options);

/*
 * The key process as a service of its own: takes its sockets from the service manager and has it keep those that lead
 * to supervisors and workers (sd_notify(3), FDSTORE=1), so that they find the next key process when this one ends.
 * Returns the exit status: as key_service_serve, or EX_USAGE when there is no listening socket.
 */
int keys_service(const char *state);

/* ---- the supervisor's side of a control socket ---- */

/* Has the other end been closed for good? No key process will ever be reached by it again. */
bool key_service_is_gone(int control);

enum key_service_answer {
    KEY_SERVICE_PROVIDED,
    KEY_SERVICE_HAVE_NONE, /* none could be made; why was logged, as a rule by the key process */
    KEY_SERVICE_UNUSABLE,  /* there is one, and it cannot be used; why was logged by the key process */
    KEY_SERVICE_SILENT,    /* no answer came, which was logged */
};

/*
 * Asks for the identity of a host (in the one spelling, hostname.h), to be made when there is none, and adds what may
 * be known of it to `certificates`, whose generation may have signatures by it from now on. Waits for the answer, at
 * most 12 seconds, and feeds the watchdog meanwhile.
 */
enum key_service_answer key_service_provide(int control, const char *host, struct certificates *certificates);

/*
 * The same for the host of the sample capsule; KEY_SERVICE_HAVE_NONE, without a word in the log, as soon as there is an
 * identity of any other host. Then somebody's pages are missing, and their clients must not get this certificate.
 */
enum key_service_answer key_service_provide_sample(int control, const char *host, struct certificates *certificates);

/* Has the key process read given identities anew before it answers what is asked from now on. */
void key_service_refresh(int control);

/*
 * Hands over the key process's end of the channel of a worker that serves `certificates`: it gets signatures by their
 * keys only. The caller keeps its own copy. Returns false with errno.
 */
bool key_service_attach(int control, int channel, const struct certificates *certificates);
