/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Makes many visits to a Gemini server at once and checks each response completely, with OpenSSL, epoll and
 * non-blocking sockets.
 */

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VISITS_DIGEST 32 /* bytes, SHA-256 */

/* How far a visit goes. */
enum goal {
    GOAL_REPLY,     /* request, reply with status 20, its body in full, close_notify */
    GOAL_HANDSHAKE, /* ends after the handshake */
    GOAL_STAY,      /* stays open after the handshake */
    GOAL_MIDST,     /* stays open without sending anything after the server has answered the ClientHello */
};

struct visits {
    /* What to do. */
    struct sockaddr_storage address;
    socklen_t address_size;
    const char *host;    /* for the server name indication */
    const char *request; /* with its CRLF */
    SSL_CTX *context;
    enum goal goal;
    size_t count, at_once;
    bool resumed;    /* resumes the session of an earlier visit, if the server gave one */
    bool nagle;      /* small packets wait for an acknowledgement, as in clients that do not set TCP_NODELAY */
    bool has_size;   /* the body must have `size` bytes */
    bool has_digest; /* and this SHA-256 */
    uint64_t size;
    uint8_t digest[VISITS_DIGEST];

    /* Results. */
    size_t done, errors, reused;
    uint64_t bytes;          /* of bodies */
    uint32_t *latencies;     /* microseconds from connect(2) to close_notify, of those that are done; to be freed */
    double seconds;          /* for all */
    const char *first_error; /* a short text about the first error, or NULL */
    int *open;               /* sockets of visits that stay open (`done` of them); the caller must free it */

    SSL_SESSION *session; /* the latest session, for resumption; the caller must free it */
};

/*
 * Makes the visits. Returns false if there is no memory, or if nothing moved for 30 seconds; otherwise, visits->errors
 * counts failures.
 */
bool visits_make(struct visits *visits);

/* Returns how many of the visits that stay open were closed by the server. */
size_t visits_lost(const struct visits *visits);

/* Closes them and frees everything. */
void visits_end(struct visits *visits);
