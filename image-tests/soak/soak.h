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

#define VISITORS 12   /* processes that ask, each one thing after the other */
#define KILLS_MAX 128 /* the latest ones that are remembered */

enum body { BODY_PAGE, BODY_LARGE, BODY_COUNT };

/* Shared by the processes of this program. Times are milliseconds of gemini_now. */
struct soak {
    char folder[64];
    uint16_t port;
    char identity[96]; /* a visitor's certificate with its key */

    _Atomic uint64_t wanted;   /* requests; 0: enough */
    _Atomic uint64_t done;     /* of these: answered, right or wrong */
    _Atomic uint64_t left;     /* connections that visitors gave up on purpose, at some point */
    _Atomic uint64_t bytes;    /* of bodies */
    _Atomic uint64_t excepted; /* connections that were inside a worker that was killed */
    _Atomic uint64_t refused;  /* connections that did not come about */
    _Atomic uint64_t wrong;    /* replies that were not what they should be, or not whole */
    _Atomic bool over;

    /* The version that lies there for sure, and the one that may lie there already. */
    _Atomic uint32_t surely[BODY_COUNT], perhaps[BODY_COUNT];

    _Atomic uint64_t kills;
    _Atomic uint64_t kill_times[KILLS_MAX]; /* of workers; that of number n stands at n % KILLS_MAX */
    _Atomic uint64_t worker_kills, key_kills;
};

/* ---- capsule.c ---- */

/* Makes the content folder and the visitor's certificate. False: something went wrong and was told. */
bool capsule_make(struct soak *soak);

/* Replaces pages until it is over. */
void capsule_change(struct soak *soak);

/* Is this body one version in whole? Gives its number. */
bool capsule_is_version(enum body body, const char *bytes, size_t size, uint32_t *version);

/* What stands before and in the listing. */
#define LISTING_HEAD "# Listed\n"
#define LISTED 20

/* An authority that no other chain has, for the chain behind a client's certificate; to be freed. NULL: no memory. */
X509 *capsule_authority(void);

/* ---- visitors.c ---- */

/* Asks until nothing more is wanted. */
void visitor_ask(struct soak *soak, unsigned number);

/* ---- processes.c ---- */

struct figures {
    size_t memory;      /* kB of all processes together (PSS) */
    size_t descriptors; /* of all together */
    size_t workers;
};

/* Looks at the server and its children. False: not all of them were there. */
bool processes_look(pid_t server, struct figures *figures);

/*
 * Kills (SIGKILL) the key process, or the worker that was started last: where there are several, the eldest stays, so
 * that its memory can be watched throughout. Returns whether it did.
 */
bool processes_kill(pid_t server, bool key_process);
