/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Endurance: many clients of every kind for a long time, while pages are replaced and processes of the server are
 * killed. soak.c runs and judges it, capsule.c makes and replaces the content, visitors.c makes requests, and
 * processes.c checks the server's processes.
 */

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VISITORS 12   /* processes, each of which makes one request after the other */
#define KILLS_MAX 128 /* the number of latest kills that are kept */

enum body { BODY_PAGE, BODY_LARGE, BODY_COUNT };

/* Shared by the processes of this program. Times are milliseconds of gemini_now. */
struct soak {
    char folder[64];
    uint16_t port;
    char identity[96]; /* the file with a client certificate and its key */

    _Atomic uint64_t wanted;   /* requests still to be made; 0: enough */
    _Atomic uint64_t done;     /* requests answered, correctly or not */
    _Atomic uint64_t left;     /* connections that clients closed on purpose before the end */
    _Atomic uint64_t bytes;    /* of bodies */
    _Atomic uint64_t excepted; /* connections to a worker that was killed */
    _Atomic uint64_t refused;  /* connections that could not be opened */
    _Atomic uint64_t wrong;    /* responses that were wrong or incomplete */
    _Atomic bool over;

    /* The version that certainly exists, and the one that may already exist. */
    _Atomic uint32_t surely[BODY_COUNT], perhaps[BODY_COUNT];

    _Atomic uint64_t kills;
    _Atomic uint64_t kill_times[KILLS_MAX]; /* of workers; kill number n is at n % KILLS_MAX */
    _Atomic uint64_t worker_kills, key_kills;
};

/* ---- capsule.c ---- */

/* Makes the content folder and the client certificate. Returns false after printing an error. */
bool capsule_make(struct soak *soak);

/* Replaces pages until the test is over. */
void capsule_change(struct soak *soak);

/* Is this body exactly one version? Sets its number. */
bool capsule_is_version(enum body body, const char *bytes, size_t size, uint32_t *version);

/* The beginning of the listing, and the number of files in it. */
#define LISTING_HEAD "# Listed\n"
#define LISTED 20

/* Makes an authority with a unique name, for a client certificate's chain; the caller must free it. NULL: no memory. */
X509 *capsule_authority(void);

/* ---- visitors.c ---- */

/* Makes requests until no more are wanted. */
void visitor_ask(struct soak *soak, unsigned number);

/* ---- processes.c ---- */

struct figures {
    size_t memory;      /* kB of all processes together (PSS) */
    size_t descriptors; /* of all processes together */
    size_t workers;
};

/* Reads the values of the server and its children. Returns false if one of them was missing. */
bool processes_look(pid_t server, struct figures *figures);

/*
 * Kills (SIGKILL) the key process, or the worker that was started last. If there are several, the oldest stays, so that
 * its memory can be watched for the whole time. Returns whether it killed one.
 */
bool processes_kill(pid_t server, bool key_process);
