/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block_cache.h"
#include "connection_io.h"
#include "connection_log.h"
#include "proxy_protocol.h"
#include "response.h"

/*
 * What a client may send before its request is complete: one byte of it per record, or a record padded to the largest
 * size. A client that changes keys instead soon reaches one of these limits.
 */
#define HEARD_BASE 18432
#define HEARD_PER_BYTE 64
#define RESPONSES_MAX 2048
#define PROBES_AT_ONCE 4 /* health checks of this machine that need no place among its other connections */
#define IDLE_RECORDS 2   /* records without a part of the request: one that has only begun, and one more */

struct connection *connection_begin(int socket, uint16_t port, const struct client_address *from, bool proxied,
                                    uint64_t now) {
    struct connection *connection = block_cache_take_zeroed(sizeof *connection);
    if (!connection)
        return NULL;
    connection->socket = socket;
    connection->port = port;
    connection->address = *from;
    connection->state = proxied ? STATE_PROXY_HEADER : STATE_HELLO;
    connection->begun = connection->stirred = now;
    connection->widens_at = CONNECTION_IO_WIDENS_AFTER;
    return connection;
}

/* ---- request ---- */

/*
 * Sends the alert or close_notify in the channel. A client that is still sending gets time to read it, as after a
 * response.
 */
static enum next say_why(struct connection *connection, struct worker_context *context) {
    if (connection_flush(connection, context) != SENT_ALL)
        return WANT_CLOSE;
    pending_drop(&connection->pending_in);
    tls_session_end(connection->session);
    connection->session = NULL;
    return connection_begin_linger(connection, STATE_DRAIN) ? WANT_READ : WANT_CLOSE;
}

/*
 * Does a client keep TLS busy with new keys or empty records instead of sending a request? `length`: bytes of its
 * request so far.
 */
static bool says_too_little(struct connection *connection, const struct worker_context *context, size_t length) {
    connection->responses += (uint32_t)context->channel.output_size;
    return connection->heard > HEARD_BASE + HEARD_PER_BYTE * length || connection->responses > RESPONSES_MAX;
}

/* The same for its address and prefixes: each record without a part of the request counts as a request. */
static bool asks_too_often(struct connection *connection, struct worker_context *context, int filled) {
    connection->idle_records += (int)context->channel.records - filled;
    context->channel.records = 0;
    for (; connection->idle_records > IDLE_RECORDS; connection->idle_records--) {
        if (quota_spend(&context->quota, &connection->member, QUOTA_REQUESTS, context->now) > 0)
            return true;
    }
    return false;
}

/* Reads the request line out of the session; all of its start that came before is pending_in. */
static enum next read_request(struct connection *connection, struct worker_context *context) {
    struct request request;
    size_t length = connection->pending_in.size;
    int filled = 0;
    if (length > 0)
        memcpy(context->line, connection->pending_in.bytes, length);
    for (;;) {
        size_t got;
        enum tls_progress progress =
            tls_read(connection->session, context->line + length, sizeof context->line - length, &got);
        if (progress == TLS_WANTS_INPUT)
            break;
        if (progress != TLS_DONE) {
            /* Respond to an early close_notify with ours, and to a broken record with the alert in the channel. */
            if (progress == TLS_ENDED)
                tls_close_notify(connection->session);
            return say_why(connection, context);
        }
        length += got;
        filled++;
        enum request_verdict verdict = request_parse(context->line, length, &request);
        if (verdict == REQUEST_INCOMPLETE && length > REQUEST_LINE_MAX) {
            verdict = REQUEST_MALFORMED;
            request.problem = "the request is longer than 1024 bytes";
        }
        if (verdict != REQUEST_INCOMPLETE) {
            bool more_comes = context->channel.input_size > 0 || length < 2 || context->line[length - 1] != '\n';
            return response_begin(connection, more_comes) ? response_answer(connection, context, verdict, &request)
                                                          : WANT_CLOSE;
        }
    }
    if (length != connection->pending_in.size && !pending_keep(&connection->pending_in, context->line, length))
        return WANT_CLOSE;
    if (asks_too_often(connection, context, filled)) {
        connection_refuse(connection, context, TOO_OFTEN);
        return WANT_CLOSE;
    }
    if (says_too_little(connection, context, length)) {
        context->counters->failed++;
        connection_log_drop(connection, context, DROP_FAILED);
        return WANT_CLOSE;
    }
    /*
     * TLS itself has little to send by now: the end of a handshake, or answers to new keys. Disconnect a client that
     * asks for so much of it that it finds no room.
     */
    return connection_flush(connection, context) == SENT_ALL ? WANT_READ : WANT_CLOSE;
}

/* ---- handshake ---- */

static void get_on(struct connection *connection, const struct worker_context *context) {
    connection->steps++;
    connection->stirred = context->now;
}

/*
 * The client sends the last message of a TLS 1.3 handshake, and we send nothing after it that would acknowledge it. The
 * kernel waits up to 40 ms for such data, and most clients (RFC 896) hold back their request until the acknowledgement.
 */
static void acknowledge(const struct connection *connection) {
    setsockopt(connection->socket, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

static enum next handshake_went(struct connection *connection, struct worker_context *context,
                                enum tls_progress progress) {
    struct tls_channel *channel = &context->channel;
    enum next next;
    switch (progress) {
    case TLS_DONE:
        connection->state = STATE_REQUEST;
        get_on(connection, context);
        channel->records = 0; /* those of the handshake */
        next = read_request(connection, context);
        connection->responses = 0; /* that was the end of the handshake */
        if (next == WANT_READ && connection->state == STATE_REQUEST)
            acknowledge(connection);
        return next;
    case TLS_WANTS_SIGNATURE:
        /* Nothing of a flight is there yet, except a HelloRetryRequest if the second ClientHello came early. */
        if (connection_flush(connection, context) != SENT_ALL)
            return WANT_CLOSE;
        connection->state = STATE_SIGNATURE;
        if (channel->input_size > 0 && !pending_keep(&connection->pending_in, channel->input, channel->input_size))
            return WANT_CLOSE;
        return WANT_SIGNATURE;
    case TLS_WANTS_INPUT:
        /* A flight is a few kilobytes: an empty socket buffer takes it. If not, the rest waits until it does. */
        switch (connection_flush(connection, context)) {
        case SENT_ALL:
            return WANT_READ;
        case SENT_SOME:
            return WANT_WRITE;
        default:
            return WANT_CLOSE;
        }
    default:
        context->counters->failed++;
        connection_log_drop(connection, context, DROP_FAILED);
        return say_why(connection, context);
    }
}

static enum next shake_hands(struct connection *connection, struct worker_context *context) {
    return handshake_went(connection, context, tls_handshake(connection->session));
}

enum next connection_sign(struct connection *connection, struct worker_context *context, const uint8_t *signature,
                          size_t size) {
    context->channel.input_size = context->channel.output_size = 0;
    connection->state = STATE_HANDSHAKE;
    get_on(connection, context);
    if (connection->pending_in.bytes) {
        memcpy(context->received, connection->pending_in.bytes, connection->pending_in.size);
        context->channel.input = context->received;
        context->channel.input_size = connection->pending_in.size;
        pending_drop(&connection->pending_in);
    }
    return handshake_went(connection, context, tls_session_sign(connection->session, signature, size));
}

/* Collects the ClientHello; size: bytes of it in the worker context. */
static enum next greet(struct connection *connection, struct worker_context *context, size_t size) {
    char name[HELLO_NAME_MAX + 1];
    size = hello_join(context->received, size);
    context->channel.input = context->received;
    context->channel.input_size = size;
    switch (hello_examine(context->received, size)) {
    case HELLO_INCOMPLETE:
        return pending_keep(&connection->pending_in, context->received, size) ? WANT_READ : WANT_CLOSE;
    case HELLO_FOREIGN:
        context->counters->foreign++;
        connection_log_drop(connection, context, DROP_FOREIGN);
        return WANT_CLOSE;
    default:
        break;
    }
    pending_drop(&connection->pending_in);
    get_on(connection, context);
    connection->state = STATE_HANDSHAKE;
    hello_server_name(context->received, size, name);
    const struct quota_member *member = &connection->member;
    const struct signing_client_origin origin = {member->groups[0].hash,
                                                 member->groups[member->count > 0 ? member->count - 1 : 0].hash};
    connection->session = tls_session_begin(context->tls, name, connection, &origin);
    return connection->session ? shake_hands(connection, context) : handshake_went(connection, context, TLS_FAILED);
}

/* ---- where it comes from ---- */

static void join(struct connection *connection, const struct worker_context *context, const struct address_group *group,
                 uint32_t connections_max) {
    struct quota_member *member = &connection->member;
    member->groups[member->count].hash = keyed_hash(context->hash_key, group, sizeof *group);
    member->groups[member->count].connections_max = connections_max;
    member->groups[member->count].times = group->times;
    member->count++;
}

bool connection_is_local(const struct connection *connection) {
    return connection->state != STATE_PROXY_HEADER && !connection->claimed &&
           client_address_is_loopback(&connection->address);
}

/* Does it come from where only `vitrine probe` on this machine comes from? */
static bool is_of_probe(const struct connection *connection, const struct worker_context *context) {
    const struct client_address probe = client_address_of_bytes(context->probe, 0);
    return connection_is_local(connection) && memcmp(&connection->address, &probe, sizeof probe) == 0;
}

/* Sets the quotas that the connection counts for. */
static void find_groups(struct connection *connection, const struct worker_context *context) {
    static const struct address_group loopback = {.bits = 1},
                                      not_told = {.bits = 2}, /* no prefix has such a small limit */
        probes = {.bits = 3};
    struct address_group groups[CLIENT_ADDRESS_GROUPS_MAX];
    connection->member = (struct quota_member){0};
    /* As long as their clients are not known, connections are treated like one client with many. */
    if (connection->state == STATE_PROXY_HEADER) {
        join(connection, context, &not_told, 0);
        return;
    }
    /*
     * A connection from this machine is a proxy, an onion service or its owner: many clients. A claimed address proves
     * nothing.
     */
    if (connection->is_probe) {
        join(connection, context, &probes, PROBES_AT_ONCE);
        return;
    }
    if (connection_is_local(connection)) {
        join(connection, context, &loopback, context->settings->max_connections_from_loopback);
        return;
    }
    size_t count = client_address_groups(&connection->address, groups);
    connection->member.rated = true;
    for (size_t i = 0; i < count; i++)
        join(connection, context, &groups[i], context->settings->max_connections_per_address * groups[i].times);
}

void connection_wait(struct connection *connection, struct worker_context *context) {
    connection->state = STATE_WAITING;
    quota_leave(&context->quota, &connection->member);
    connection->member = (struct quota_member){0};
    quota_enter(&context->quota, &connection->member);
}

enum admission connection_admit(struct connection *connection, struct worker_context *context) {
    quota_leave(&context->quota, &connection->member);
    connection->is_probe = is_of_probe(connection, context);
    find_groups(connection, context);
    bool has_place = quota_enter(&context->quota, &connection->member);
    if (!has_place && connection->is_probe) { /* further ones are like all others from this machine */
        connection->is_probe = false;
        find_groups(connection, context);
        has_place = quota_enter(&context->quota, &connection->member);
    }
    if (!has_place)
        return NO_PLACE;
    if (connection->state == STATE_WAITING) {
        connection->state = STATE_HELLO;
        connection->begun = connection->stirred = context->now;
    }
    return quota_spend(&context->quota, &connection->member, QUOTA_HANDSHAKES, context->now) > 0 ? TOO_OFTEN : ADMITTED;
}

void connection_refuse(const struct connection *connection, struct worker_context *context, enum admission why) {
    if (why == TOO_OFTEN)
        context->counters->throttled++;
    else
        context->counters->refused++;
    connection_log_drop(connection, context, why == TOO_OFTEN ? DROP_THROTTLED : DROP_REFUSED);
}

/*
 * Reads the PROXY protocol header, which says where the connection really comes from. *size: bytes in the worker
 * context; afterwards, those after the header.
 */
static enum next introduce(struct connection *connection, struct worker_context *context, size_t *size) {
    struct proxy_header header;
    switch (proxy_parse(context->received, *size, &header)) {
    case PROXY_INCOMPLETE:
        return pending_keep(&connection->pending_in, context->received, *size) ? WANT_READ : WANT_CLOSE;
    case PROXY_INVALID:
        context->counters->foreign++;
        connection_log_drop(connection, context, DROP_FOREIGN);
        return WANT_CLOSE;
    default:
        break;
    }
    connection->state = STATE_HELLO;
    connection->claimed = header.has_addresses;
    if (header.has_addresses)
        connection->address = client_address_of_bytes(header.source, header.is_ipv6);
    *size -= header.length;
    memmove(context->received, context->received + header.length, *size);
    pending_drop(&connection->pending_in);
    enum admission admission = connection_admit(connection, context);
    if (admission != ADMITTED)
        connection_refuse(connection, context, admission);
    return admission == ADMITTED ? WANT_READ : WANT_CLOSE;
}

/* ---- from outside ---- */

/* Receives bytes after the pending ones. Returns how many there are then; 0: none came; -1: the client has gone. */
static ssize_t receive_more(struct connection *connection, struct worker_context *context) {
    size_t before = connection->pending_in.size;
    if (before > 0)
        memcpy(context->received, connection->pending_in.bytes, before);
    ssize_t got = connection_receive(connection, context, before);
    return got > 0 ? (ssize_t)before + got : got;
}

static enum next continue_proxy_header(struct connection *connection, struct worker_context *context) {
    ssize_t got = receive_more(connection, context);
    size_t size = (size_t)got;
    if (got <= 0)
        return got < 0 ? WANT_CLOSE : WANT_READ;
    enum next next = introduce(connection, context, &size);
    return next == WANT_CLOSE || connection->state == STATE_PROXY_HEADER || size == 0
               ? next
               : greet(connection, context, size);
}

static enum next continue_hello(struct connection *connection, struct worker_context *context) {
    ssize_t got = receive_more(connection, context);
    if (got <= 0)
        return got < 0 ? WANT_CLOSE : WANT_READ;
    return greet(connection, context, (size_t)got);
}

/* Receives records into the channel. Returns as connection_receive. */
static ssize_t receive_records(struct connection *connection, struct worker_context *context) {
    ssize_t got = connection_receive(connection, context, 0);
    context->channel.input = context->received;
    context->channel.input_size = got > 0 ? (size_t)got : 0;
    return got;
}

static enum next continue_handshake(struct connection *connection, struct worker_context *context) {
    ssize_t got = receive_records(connection, context);
    if (got <= 0)
        return got < 0 ? WANT_CLOSE : WANT_READ;
    return shake_hands(connection, context);
}

/* The client's next part of the handshake comes when it has all of ours. */
static enum next send_flight(struct connection *connection) {
    enum sent sent = connection_flush_pending(connection);
    if (sent == SENT_ALL)
        return WANT_READ;
    return sent == SENT_SOME ? WANT_WRITE : WANT_CLOSE;
}

static enum next continue_request(struct connection *connection, struct worker_context *context) {
    ssize_t got = receive_records(connection, context);
    if (got <= 0)
        return got < 0 ? WANT_CLOSE : WANT_READ;
    connection->heard += (uint32_t)got;
    return read_request(connection, context);
}

/* What comes is thrown away. */
static enum next continue_linger(struct connection *connection, struct worker_context *context, bool readable) {
    if (readable && connection_receive(connection, context, 0) < 0) /* its half may end before it has all of ours */
        return connection_has_all(connection) ? WANT_CLOSE : WANT_NEWS;
    return connection_continue_linger(connection);
}

enum next connection_continue(struct connection *connection, struct worker_context *context, bool readable) {
    context->channel.input_size = 0;
    context->channel.output_size = 0;
    context->channel.records = 0;
    switch (connection->state) {
    case STATE_PROXY_HEADER:
        return readable ? continue_proxy_header(connection, context) : WANT_READ;
    case STATE_HELLO:
        return readable ? continue_hello(connection, context) : WANT_READ;
    case STATE_HANDSHAKE:
        if (connection->pending_out.bytes)
            return send_flight(connection);
        return readable ? continue_handshake(connection, context) : WANT_READ;
    case STATE_SIGNATURE:
        return WANT_SIGNATURE;
    case STATE_REQUEST:
        return readable ? continue_request(connection, context) : WANT_READ;
    case STATE_RESPONSE:
    case STATE_LAST_BYTES:
        return response_continue(connection, context);
    case STATE_DRAIN:
    case STATE_LINGER:
        return continue_linger(connection, context, readable);
    default:
        return WANT_READ;
    }
}

void connection_end(struct connection *connection, struct worker_context *context) {
    response_abandon(connection, context);
    quota_leave(&context->quota, &connection->member);
    tls_session_end(connection->session);
    if (!connection->acknowledged)
        setsockopt(connection->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(connection->socket);
    if (connection->is_wide)
        quota_narrow(&context->quota);
    pending_drop(&connection->pending_in);
    pending_drop(&connection->pending_out);
    block_cache_give(connection);
}
