/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The life of one connection. Knows its socket, not the event loop: the loop tells it that there may be bytes to read
 * or room to send, and it returns what it waits for next. Its state says what it waits for:
 *
 * from           event                                                 to             deadline there
 * (none)         accepted                                              HELLO          handshake-timeout
 * (none)         accepted at a port of proxy-ports                     PROXY_HEADER   handshake-timeout
 * HELLO          from this machine, and all its places are taken       WAITING        handshake-timeout
 * WAITING        a place is free                                       HELLO          handshake-timeout, anew
 * PROXY_HEADER   the header is complete                                HELLO          the same goes on
 * HELLO          the ClientHello is complete                           HANDSHAKE      the same goes on
 * HANDSHAKE      TLS needs a signature                                 SIGNATURE      the same goes on
 * SIGNATURE      the key process has answered                          HANDSHAKE      the same goes on
 * HANDSHAKE      the handshake is over                                 REQUEST        request-timeout
 * REQUEST        the request is complete or wrong                      RESPONSE       reply-timeout, and more (loop.c)
 * RESPONSE       the last record is made                               LAST_BYTES     the same goes on
 * LAST_BYTES     the kernel has all of it; nothing more will come      LINGER         the same goes on
 * LAST_BYTES     the kernel has all of it; more may be coming          DRAIN          the same goes on
 * HELLO,         the handshake fails, or the client ends early:        DRAIN          reply-timeout
 * HANDSHAKE,     the alert or close_notify is sent
 * REQUEST
 * LINGER         the client has all of it                              (none)
 * DRAIN          the client has all of it, and has ended its side,     (none)
 *                or two seconds have passed
 * WAITING        the client has left                                   (none)
 * any            deadline, reset, no memory, garbage, or another       (none)
 *                connection needs the place (admission.h)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client_address.h"
#include "common/probe_address.h"
#include "common/settings.h"
#include "content/capsule.h"
#include "content/request.h"
#include "counters.h"
#include "drop_log.h"
#include "event_source.h"
#include "hello.h"
#include "quota.h"
#include "tls.h"

/* What a connection waits for. */
enum state {
    STATE_WAITING,      /* for one of the places for this machine, which it comes from */
    STATE_PROXY_HEADER, /* for a PROXY protocol header, whose start is pending_in */
    STATE_HELLO,        /* for a ClientHello, whose start is pending_in */
    STATE_HANDSHAKE,    /* for the client's part of the handshake; pending_out is our part, if it found no room */
    STATE_SIGNATURE,    /* for the key process; pending_in is input that the session has not taken */
    STATE_REQUEST,      /* for a request line, whose start, decrypted, is pending_in */
    STATE_RESPONSE,     /* for room to send; there are records to make; pending_out is what found no room */
    STATE_LAST_BYTES,   /* for room to send; all records are made, with close_notify; pending_out as before */
    STATE_DRAIN,        /* for the client's end; discards incoming bytes, so that no reset overtakes the response */
    STATE_LINGER,       /* until the client has acknowledged everything */
    STATE_COUNT,
};

/* What bounds the time of a connection. Each state has one of these (loop.c). */
enum deadline {
    DEADLINE_WAITING,
    DEADLINE_HANDSHAKE,
    DEADLINE_REQUEST,
    DEADLINE_RESPONSE,
    DEADLINE_LINGER,
    DEADLINE_COUNT,
};

enum next {
    WANT_READ,      /* continue when there are bytes to read */
    WANT_WRITE,     /* continue when there is room to send */
    WANT_NEWS,      /* continue when something changes, such as when the client has acknowledged the end */
    WANT_SIGNATURE, /* continue with connection_sign when the key process has answered */
    WANT_CLOSE,     /* the connection is over: connection_end */
};

#define RECEIVED_MAX (HELLO_MAX + 16384)

/* Shared by all connections of a worker. A connection uses it only during one call. */
struct worker_context {
    struct tls *tls;
    const struct capsules *capsules;
    const struct settings *settings;
    struct counters *counters;
    struct quota quota;
    const uint8_t *hash_key;           /* KEYED_HASH_KEY bytes, the same for all workers */
    uint8_t probe[PROBE_ADDRESS_SIZE]; /* where `vitrine probe` connects from; all zero: not known */
    uint64_t now;                      /* milliseconds of the monotonic clock, updated by the event loop */
    struct remarks remarks;
    struct tls_channel channel;
    uint8_t received[RECEIVED_MAX];
    char line[REQUEST_LINE_MAX + 2];
};

/* A response that is being sent (response.h). */
struct response;

/* Bytes that wait. The copy belongs to the connection. NULL and 0: none. */
struct pending {
    uint8_t *bytes;
    size_t size;
};

struct connection {
    int socket;
    uint16_t port; /* of its listener */
    enum state state;
    bool acknowledged; /* the client has acknowledged everything; checked in STATE_LINGER and STATE_DRAIN */
    struct tls_session *session;
    struct pending pending_in;  /* received, but not complete or not wanted yet */
    struct pending pending_out; /* records that found no room */
    struct response *response;
    uint64_t sent;      /* bytes of the response that the kernel has taken */
    uint64_t widens_at; /* how many of these before it asks for a large send buffer */
    bool is_wide;       /* it has one, and a place for it (quota_widen) */
    uint64_t begun;     /* when it was accepted */
    uint64_t stirred;   /* when its handshake last made progress */
    uint8_t steps;      /* how often it made progress: a whole ClientHello, the signature, the end */
    uint32_t heard;     /* bytes received before the request was complete */
    int idle_records;   /* records among them without a part of the request, minus those already counted in its rate */
    uint32_t responses; /* bytes that TLS itself sent meanwhile, in response to new keys */
    struct client_address address;
    struct quota_member member; /* the quotas that it counts for */
    bool claimed;               /* a PROXY protocol header claimed the address */
    bool is_probe; /* a health check of this machine: has places of its own, and is logged only if it fails */

    /* For the event loop: its place in a queue of deadlines, and what epoll waits for. */
    struct event_source source;
    struct connection *earlier, *later;
    uint64_t deadline;
    uint64_t due;   /* when the response is ended if the client takes no more of it */
    uint64_t taken; /* bytes of the response that the client had at the last check */
    uint32_t pace;  /* a moving average of these bytes between two checks: the latest count for half of it; there is an
                       upper bound */
    bool looked_at; /* the response was checked once */
    enum deadline queued;
    enum next armed;
};

/*
 * Makes a connection from an accepted, non-blocking socket, which it owns from now on. NULL: no memory, and the socket
 * is still the caller's. from: the client's address. proxied: a PROXY protocol header must give that address.
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
