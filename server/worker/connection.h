/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The life of one connection: greeting, handshake, request, response, linger. Knows its socket, not the event loop: it
 * is told that bytes may be there or that room may be there, and answers what it waits for next.
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

/* Where a connection stands. Each stage has its own deadline. */
enum stage {
    STAGE_WAITING,   /* it is from this machine, and waits for one of the places that this machine may take */
    STAGE_HANDSHAKE, /* from accept to the end of the TLS handshake */
    STAGE_REQUEST,   /* until the request line is whole */
    STAGE_RESPONSE,  /* until the last byte is in the kernel's hands */
    STAGE_LINGER, /* nothing is left to say; it stays until the client has all of it. What still comes is thrown away,
                        so that no reset overtakes the reply. */
    STAGE_COUNT,
};

enum next {
    WANT_READ,      /* go on when bytes are there */
    WANT_WRITE,     /* go on when there is room to send */
    WANT_NEWS,      /* go on when something changes, such as that the client has acknowledged the end */
    WANT_SIGNATURE, /* go on when the key process has answered: connection_sign */
    WANT_CLOSE,     /* the connection is over: connection_end */
};

/* What a worker has counted since it began. Read by the supervisor while the worker writes. */
struct counters {
    _Atomic uint64_t accepted;
    _Atomic uint64_t open;
    _Atomic uint64_t answered;   /* replies that went out whole */
    _Atomic uint64_t broken_off; /* replies that did not */
    _Atomic uint64_t foreign;    /* connections that spoke no TLS */
    _Atomic uint64_t failed;     /* handshakes that failed */
    _Atomic uint64_t late;       /* connections that ran into a deadline */
    _Atomic uint64_t refused;    /* connections of an address or prefix that had as many as it may have */
    _Atomic uint64_t throttled;  /* connections of an address or prefix that had too many handshakes in a minute */
    _Atomic uint64_t displaced;  /* connections that gave way when there was no more room */
    _Atomic uint64_t slowed;     /* requests answered with 44 */
};

#define RECEIVED_MAX (HELLO_MAX + 16384)

/* What all connections of a worker share. A connection uses it only during one call. */
struct worker_context {
    struct tls *tls;
    const struct capsules *capsules;
    const struct settings *settings;
    struct counters *counters;
    struct quota quota;
    const uint8_t *hash_key; /* of KEYED_HASH_KEY bytes, the same for all workers */
    uint64_t now;            /* milliseconds of the monotonic clock, renewed by the event loop */
    struct remarks remarks;
    struct tls_channel channel;
    uint8_t received[RECEIVED_MAX];
    char line[REQUEST_LINE_MAX + 2];
    char plain[TLS_RECORDS_AT_ONCE * TLS_RECORD_MAX];
};

/* A reply on its way. */
struct response;

struct connection {
    int socket;
    uint16_t port; /* of the listener it came in by */
    enum stage stage;
    bool talkative;    /* the peer sent more than its request, or may be sending still */
    bool acknowledged; /* all that was sent to the client; looked at in STAGE_LINGER */
    bool signing;      /* it waits for a signature; `kept` holds input that the session has not taken */
    struct tls_session *session;
    uint8_t *kept; /* bytes that wait: the start of a greeting or request, or records that found no room */
    size_t kept_size;
    struct response *response;
    uint64_t sent;      /* bytes of the reply that the kernel has taken */
    uint64_t begun;     /* when it was accepted */
    uint64_t stirred;   /* when it last got on with its handshake */
    uint8_t steps;      /* how often it did: a whole ClientHello, the signature, the end */
    uint32_t heard;     /* bytes that came while the request was waited for */
    int idle_records;   /* of these, without a part of the request; those that were counted in its rate are taken off */
    uint32_t responses; /* bytes that TLS itself said meanwhile, answers to new keys */
    struct client_address address;
    struct quota_member member; /* whose quotas it counts for */
    bool claimed;               /* the address was claimed in a PROXY protocol header */
    bool proxied;               /* a PROXY protocol header has to come first */

    /* The event loop's own: its place in a queue of deadlines, and what epoll was told. */
    struct connection *earlier, *later;
    uint64_t deadline;
    uint64_t due;   /* when a reply ends whose client takes no more of it */
    uint64_t taken; /* bytes of the reply that the client had at the last look */
    uint32_t pace; /* how many of these come between two looks, by and large: the latest count for half of it; more than
                       enough count for no more */
    bool looked_at; /* the reply, once */
    enum stage queued;
    enum next armed;
};

/*
 * Begins the life of a connection on an accepted, non-blocking socket, which it owns from now on. NULL: no memory.
 * from: where it comes from; where a PROXY protocol header has to say that, proxied is true.
 */
struct connection *connection_begin(int socket, uint16_t port, const struct client_address *from, bool proxied,
                                    uint64_t now);

enum admission { ADMITTED, NO_PLACE, TOO_OFTEN };

/* Lets it wait for a place: it counts as open, and for no quota. Its time begins when it is admitted. */
void connection_wait(struct connection *connection, struct worker_context *context);

/*
 * May it go on, by the quotas of its address and the prefixes around it? Else it is to be ended, or to wait. For one
 * that is proxied this is asked again when its header has come. NO_PLACE: one of them has as many connections as it may
 * have; TOO_OFTEN: too many handshakes in a minute.
 */
enum admission connection_admit(struct connection *connection, struct worker_context *context);

/* Does it come from this machine itself, and not only by a claim? */
bool connection_is_local(const struct connection *connection);

/* Counts that it was not admitted, for that reason, and notes it for the log. */
void connection_refuse(const struct connection *connection, struct worker_context *context, enum admission why);

/*
 * Goes on until the connection has to wait. readable: bytes, the peer's end or an error may be there.
 */
enum next connection_continue(struct connection *connection, struct worker_context *context, bool readable);

/*
 * The signature that the connection waits for has come; size 0: it was refused. Goes on until it has to wait again.
 */
enum next connection_sign(struct connection *connection, struct worker_context *context, const uint8_t *signature,
                          size_t size);

/*
 * Closes the socket and gives everything back. A reply that is not through counts as broken off and is logged. Unless
 * the client has acknowledged everything, its end included, the connection is reset: a socket that nobody owns any more
 * would keep the rest for minutes, outside of all bounds.
 */
void connection_end(struct connection *connection, struct worker_context *context);
