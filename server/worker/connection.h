/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The life of one connection: greeting, handshake, request, response, linger. Knows its socket, not the event loop: the
 * loop tells it that there may be bytes to read or room to send, and it returns what it waits for next.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client_address.h"
#include "common/settings.h"
#include "content/capsule.h"
#include "content/request.h"
#include "drop_log.h"
#include "hello.h"
#include "quota.h"
#include "tls.h"

/* The stage of a connection. Each stage has its own deadline. */
enum stage {
    STAGE_WAITING,   /* it comes from this machine, and waits for one of the places for this machine */
    STAGE_HANDSHAKE, /* from accept to the end of the TLS handshake */
    STAGE_REQUEST,   /* until the request line is complete */
    STAGE_RESPONSE,  /* until the kernel has taken the last byte */
    STAGE_LINGER, /* everything is sent; it stays until the client has it all. Discards incoming bytes, so that no reset
                     overtakes the response. */
    STAGE_COUNT,
};

enum next {
    WANT_READ,      /* continue when there are bytes to read */
    WANT_WRITE,     /* continue when there is room to send */
    WANT_NEWS,      /* continue when something changes, such as when the client has acknowledged the end */
    WANT_SIGNATURE, /* continue with connection_sign when the key process has answered */
    WANT_CLOSE,     /* the connection is over: connection_end */
};

/* Counters of a worker since it started. The supervisor reads them while the worker writes. */
struct counters {
    _Atomic uint64_t accepted;
    _Atomic uint64_t open;
    _Atomic uint64_t answered;   /* responses that were sent completely */
    _Atomic uint64_t broken_off; /* responses that were not */
    _Atomic uint64_t foreign;    /* connections that did not speak TLS */
    _Atomic uint64_t failed;     /* handshakes that failed */
    _Atomic uint64_t late;       /* connections that reached a deadline */
    _Atomic uint64_t refused;    /* connections from an address or prefix that had reached its limit */
    _Atomic uint64_t throttled;  /* connections from an address or prefix that had too many handshakes in a minute */
    _Atomic uint64_t displaced;  /* connections that were replaced by new ones when all places were taken */
    _Atomic uint64_t slowed;     /* requests answered with 44 */
};

#define RECEIVED_MAX (HELLO_MAX + 16384)

/* Shared by all connections of a worker. A connection uses it only during one call. */
struct worker_context {
    struct tls *tls;
    const struct capsules *capsules;
    const struct settings *settings;
    struct counters *counters;
    struct quota quota;
    const uint8_t *hash_key; /* KEYED_HASH_KEY bytes, the same for all workers */
    uint64_t now;            /* milliseconds of the monotonic clock, updated by the event loop */
    struct remarks remarks;
    struct tls_channel channel;
    uint8_t received[RECEIVED_MAX];
    char line[REQUEST_LINE_MAX + 2];
    char plain[TLS_RECORDS_AT_ONCE * TLS_RECORD_MAX];
};

/* A response that is being sent. */
struct response;

struct connection {
    int socket;
    uint16_t port; /* of its listener */
    enum stage stage;
    bool talkative;    /* the client sent more than its request, or may still be sending */
    bool acknowledged; /* the client has acknowledged everything; checked in STAGE_LINGER */
    bool signing;      /* it waits for a signature; `kept` holds input that the session has not taken */
    struct tls_session *session;
    uint8_t *kept; /* bytes that wait: the start of a greeting or request, or records that found no room */
    size_t kept_size;
    struct response *response;
    uint64_t sent;      /* bytes of the response that the kernel has taken */
    uint64_t begun;     /* when it was accepted */
    uint64_t stirred;   /* when its handshake last made progress */
    uint8_t steps;      /* how often it made progress: a whole ClientHello, the signature, the end */
    uint32_t heard;     /* bytes received before the request was complete */
    int idle_records;   /* records among them without a part of the request, minus those already counted in its rate */
    uint32_t responses; /* bytes that TLS itself sent meanwhile, in response to new keys */
    struct client_address address;
    struct quota_member member; /* the quotas that it counts for */
    bool claimed;               /* a PROXY protocol header claimed the address */
    bool proxied;               /* a PROXY protocol header must come first */

    /* For the event loop: its place in a queue of deadlines, and what epoll waits for. */
    struct connection *earlier, *later;
    uint64_t deadline;
    uint64_t due;   /* when the response is ended if the client takes no more of it */
    uint64_t taken; /* bytes of the response that the client had at the last check */
    uint32_t pace;  /* a moving average of these bytes between two checks: the latest count for half of it; there is an
                       upper bound */
    bool looked_at; /* the response was checked once */
    enum stage queued;
    enum next armed;
};

/*
 * Makes a connection from an accepted, non-blocking socket, which it owns from now on. NULL: no memory. from: the
 * client's address. proxied: a PROXY protocol header must give that address.
 */
struct connection *connection_begin(int socket, uint16_t port, const struct client_address *from, bool proxied,
                                    uint64_t now);

enum admission { ADMITTED, NO_PLACE, TOO_OFTEN };

/*
 * Makes the connection wait for a place: it counts as open, but for no quota. Its deadlines begin when it is admitted.
 */
void connection_wait(struct connection *connection, struct worker_context *context);

/*
 * Checks the quotas of its address and prefixes. Unless it is ADMITTED, the caller ends it or makes it wait. If
 * proxied, it is checked again after the header. NO_PLACE: one of them has reached its limit of connections; TOO_OFTEN:
 * too many handshakes in a minute.
 */
enum admission connection_admit(struct connection *connection, struct worker_context *context);

/* Does it really come from this machine, not only according to a PROXY header? */
bool connection_is_local(const struct connection *connection);

/* Counts and logs that it was not admitted, for that reason. */
void connection_refuse(const struct connection *connection, struct worker_context *context, enum admission why);

/* Continues until the connection must wait. readable: there may be bytes, the client's end or an error. */
enum next connection_continue(struct connection *connection, struct worker_context *context, bool readable);

/*
 * Continues with the signature that the connection waits for, until it must wait again. size 0: the key process
 * refused.
 */
enum next connection_sign(struct connection *connection, struct worker_context *context, const uint8_t *signature,
                          size_t size);

/*
 * Closes the socket and frees everything. An incomplete response counts as broken off and is logged. Unless the client
 * has acknowledged everything, including the end, the connection is reset: otherwise the kernel would keep the rest for
 * minutes, outside of all limits.
 */
void connection_end(struct connection *connection, struct worker_context *context);
