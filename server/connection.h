/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The life of one connection: greeting, handshake, request, reply, farewell. Knows its socket, not the event loop: it
 * is told that bytes may be there or that room may be there, and answers what it waits for next.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "capsule.h"
#include "hello.h"
#include "quota.h"
#include "remarks.h"
#include "request.h"
#include "settings.h"
#include "tls.h"

/* Where a connection stands. Each stage has its own deadline. */
enum stage {
    STAGE_HANDSHAKE, /* from accept to the end of the TLS handshake */
    STAGE_REQUEST,   /* until the request line is whole */
    STAGE_REPLY,     /* until the last byte is in the kernel's hands */
    STAGE_FAREWELL,  /* nothing is left to say; what still comes is thrown away, so that no reset overtakes the reply */
    STAGE_COUNT,
};

enum wish {
    WISH_INPUT,     /* go on when bytes are there */
    WISH_OUTPUT,    /* go on when there is room to send */
    WISH_SIGNATURE, /* go on when the key process has answered: connection_sign */
    WISH_END,       /* the connection is over: connection_end */
};

/* What a worker has counted since it began. Read by the supervisor while the worker writes. */
struct tally {
    _Atomic uint64_t accepted;
    _Atomic uint64_t open;
    _Atomic uint64_t answered;   /* replies that went out whole */
    _Atomic uint64_t broken_off; /* replies that did not */
    _Atomic uint64_t foreign;    /* connections that spoke no TLS */
    _Atomic uint64_t failed;     /* handshakes that failed */
    _Atomic uint64_t late;       /* connections that ran into a deadline */
    _Atomic uint64_t refused;    /* connections of a subscriber who had as many as one may have */
    _Atomic uint64_t displaced;  /* connections that gave way before they had asked, when there was no more room */
    _Atomic uint64_t slowed;     /* requests answered with 44 */
};

#define RECEIVED_MAX (HELLO_MAX + 16384)

/* What all connections of a worker share. A connection uses it only during one call. */
struct workbench {
    struct tls *tls;
    const struct capsules *capsules;
    const struct settings *settings;
    struct tally *tally;
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
struct delivery;

struct connection {
    int socket;
    uint16_t port; /* of the listener it came in by */
    enum stage stage;
    bool talkative; /* the peer sent more than its request */
    bool signing;   /* it waits for a signature; `kept` holds input that the session has not taken */
    struct tls_session *session;
    uint8_t *kept; /* bytes that wait: the start of a greeting or request, or records that found no room */
    size_t kept_size;
    struct delivery *delivery;
    uint64_t moved; /* bytes of the reply that the kernel has taken */
    uint64_t begun; /* when it was accepted */
    struct address address;
    uint64_t subscriber; /* the hash by which the quota knows the address */
    bool counted;        /* quota_leave is due */
    bool proxied;        /* a PROXY protocol header has to come first */

    /* The event loop's own: its place in a queue of deadlines, and what epoll was told. */
    struct connection *earlier, *later;
    uint64_t deadline;
    uint64_t moved_before;
    enum stage queued;
    enum wish armed;
};

/*
 * Begins the life of a connection on an accepted, non-blocking socket, which it owns from now on. NULL: no memory.
 * from: where it comes from; where a PROXY protocol header has to say that, proxied is true.
 */
struct connection *connection_begin(int socket, uint16_t port, const struct address *from, bool proxied, uint64_t now);

/* May it go on, by the quota of one subscriber? If not, it is to be ended. Not for one that is proxied. */
bool connection_admit(struct connection *connection, struct workbench *bench);

/*
 * Goes on until the connection has to wait. readable: bytes, the peer's end or an error may be there.
 */
enum wish connection_continue(struct connection *connection, struct workbench *bench, bool readable);

/*
 * The signature that the connection waits for has come; size 0: it was refused. Goes on until it has to wait again.
 */
enum wish connection_sign(struct connection *connection, struct workbench *bench, const uint8_t *signature,
                          size_t size);

/* Notes for the log why a connection, which is about to end, ends without a reply (remarks.h). */
void connection_remark(const struct connection *connection, struct workbench *bench, enum remark remark);

/* Closes the socket and gives everything back. A reply that is not through counts as broken off and is logged. */
void connection_end(struct connection *connection, struct workbench *bench);
