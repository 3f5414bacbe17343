/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The messages between the supervisor and the key process: control requests and control responses. A request has one
 * fixed size. A response has a fixed head, followed by the chain of a certificate.
 *
 *   CONTROL_PROVIDE         asks for the identity of a host, and makes one if there is none: one response
 *   CONTROL_PROVIDE_SAMPLE  the same for the sample capsule, only if there is no identity of another host: one response
 *   CONTROL_ATTACH          passes the channel of a worker, the one descriptor of the message: no response
 *   CONTROL_REFRESH         reads given identities again: no response
 *   CONTROL_PREPARE         announces CONTROL_PROVIDE for this host, so that the identities of many new hosts are made
 *                           first and then written to disk at once: no response
 *
 * A request that is malformed or of another version gets CONTROL_REFUSED, whatever it asked for.
 *
 * They travel over a SOCK_SEQPACKET socket inside one machine, in its byte order. Sockets outlive a process and an
 * upgrade. So if you change a message, change the last byte of its magic number: then another version refuses it, and
 * the log says why.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "certificate.h"

#define CONTROL_HOST_SIZE 256 /* bytes: a host of at most HOSTNAME_MAX, then NULs up to the end */

enum control_command {
    CONTROL_PROVIDE = 1,
    CONTROL_ATTACH = 2,
    CONTROL_REFRESH = 3,
    CONTROL_PROVIDE_SAMPLE = 4,
    CONTROL_PREPARE = 5,
};

struct control_request {
    uint32_t magic;
    uint32_t command;             /* enum control_command */
    uint64_t request_id;          /* repeated in the response, so that a late one is not taken for the next one */
    uint64_t generation;          /* of the workers that serve this identity, or of this worker (certificate.h) */
    char host[CONTROL_HOST_SIZE]; /* canonical (hostname.h); "" if the command needs none */
};

enum control_result {
    CONTROL_PROVIDED = 1,
    CONTROL_NONE = 2,     /* there is no identity; the key process logged why, except for the sample */
    CONTROL_UNUSABLE = 3, /* there is one that cannot be used; the key process logged why */
    CONTROL_REFUSED = 4,  /* the request was not understood; the key process logged why */
};

struct control_response {
    uint32_t magic;
    uint32_t result; /* enum control_result; unless it is CONTROL_PROVIDED, all of the following is 0 */
    uint64_t request_id;
    char host[CONTROL_HOST_SIZE]; /* of the request; the identity may serve several */
    uint8_t key_id[SIGNING_KEY_ID];
    uint32_t key_kind;      /* enum key_kind */
    uint32_t signature_max; /* bytes of the longest signature that the key makes */
    uint32_t chain_size;    /* bytes of `chain` that are sent */
    uint32_t reserved;      /* 0 */
    char chain[CERTIFICATE_CHAIN_MAX];
};

/* ---- requests ---- */

/* Makes a request. host: NULL or "" if the command needs none. Returns false if the host does not fit. */
bool control_ask(struct control_request *request, enum control_command command, uint64_t request_id,
                 uint64_t generation, const char *host);

/* Is this a well-formed request? size: of the message. */
bool control_request_is_valid(const struct control_request *request, size_t size);

/* Does it come from another version of the program? For the log only: such a request is never valid. */
bool control_request_is_foreign(const struct control_request *request, size_t size);

/*
 * Sends a request, with a descriptor unless it is -1; the caller keeps it. With a descriptor, it waits for room,
 * because a worker without its channel gets no signatures; otherwise it does not wait. Returns 0 or -errno; -EAGAIN if
 * there is no room.
 */
int control_send(int control, const struct control_request *request, int descriptor);

/*
 * Takes the next message without waiting for it (-EAGAIN); the missing part of a short one is 0. *descriptor: the one
 * that came with it, which the caller closes; -1 if there was none, or several, which are closed here. Returns the size
 * of the message, which can be larger than a request; 0 if the other end is closed; or -errno.
 */
ssize_t control_receive(int control, struct control_request *request, int *descriptor);

/* ---- responses ---- */

/*
 * Makes a response. CONTROL_PROVIDED needs `host` and its `certificate`; if these do not fit, the result becomes
 * CONTROL_NONE. Returns how many bytes to send.
 */
size_t control_reply(struct control_response *response, uint64_t request_id, enum control_result result,
                     const char *host, const struct certificate *certificate);

/* Is this a well-formed response? size: of the message. */
bool control_response_is_valid(const struct control_response *response, size_t size);

/* As control_request_is_foreign. */
bool control_response_is_foreign(const struct control_response *response, size_t size);

/* Returns the certificate in a valid response with CONTROL_PROVIDED. Its chain stays in the response. */
struct certificate control_certificate(struct control_response *response);
