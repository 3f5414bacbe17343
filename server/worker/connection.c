/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connection.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block_cache.h"
#include "common/bounds.h"
#include "common/log.h"
#include "proxy_protocol.h"

#define ASKED_MAX 512
/*
 * What may come before the request is there: one byte of it in each record, or a record filled up to the largest size.
 * A client that changes keys instead reaches one of these bounds soon.
 */
#define HEARD_BASE 18432
#define HEARD_PER_BYTE 64
#define RESPONSES_MAX 2048
#define IDLE_RECORDS 2 /* without a part of the request: a record that has only begun, and one for good measure */
/* Parts of a body that go out before others have their turn: 160 kB, a fifth of a millisecond. The end of a response is
 * one, too. */
#define TURNS_AT_ONCE 5

struct response {
    struct reply reply;
    struct client client;
    uint64_t sent;         /* bytes of the body that have become records */
    bool ended;            /* the last record and close_notify are made */
    bool broken;           /* the body cannot be sent whole: no close_notify follows (its absence tells the client) */
    char asked[ASKED_MAX]; /* host and path for the log, already escaped */
};

struct connection *connection_begin(int socket, uint16_t port, const struct client_address *from, bool proxied,
                                    uint64_t now) {
    struct connection *connection = block_cache_take_zeroed(sizeof *connection);
    if (!connection)
        return NULL;
    connection->socket = socket;
    connection->port = port;
    connection->address = *from;
    connection->proxied = proxied;
    connection->stage = STAGE_HANDSHAKE;
    connection->begun = connection->stirred = now;
    return connection;
}

/* ---- bytes that wait ---- */

static void kept_drop(struct connection *connection) {
    free(connection->kept);
    connection->kept = NULL;
    connection->kept_size = 0;
}

static bool keep(struct connection *connection, const void *bytes, size_t size) {
    uint8_t *kept = malloc(size);
    if (!kept)
        return false;
    memcpy(kept, bytes, size);
    free(connection->kept);
    connection->kept = kept;
    connection->kept_size = size;
    return true;
}

/* ---- the socket ---- */

enum sent { SENT_ALL, SENT_SOME, SENT_NONE };

/*
 * Sends as much as the kernel takes. *left: how many bytes at the end of `bytes` were not taken. The last bytes of a
 * reply wait for the end of the connection (say_goodbye), which goes out with them: a packet less on its way.
 */
static enum sent transmit(struct connection *connection, const uint8_t *bytes, size_t size, size_t *left) {
    int flags = MSG_NOSIGNAL | (connection->response && connection->response->ended ? MSG_MORE : 0);
    *left = size;
    while (*left > 0) {
        ssize_t sent = send(connection->socket, bytes + size - *left, *left, flags);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? SENT_SOME : SENT_NONE;
        *left -= (size_t)sent;
        if (connection->stage == STAGE_RESPONSE)
            connection->sent += (uint64_t)sent;
    }
    return SENT_ALL;
}

/* Sends the records in the channel; what finds no room is kept. SENT_NONE: the peer is gone or memory is. */
static enum sent flush(struct connection *connection, struct worker_context *context) {
    struct tls_channel *channel = &context->channel;
    size_t left;
    enum sent sent = SENT_ALL;
    if (channel->output_size > 0) {
        sent = transmit(connection, channel->output, channel->output_size, &left);
        if (sent == SENT_SOME && !keep(connection, channel->output + channel->output_size - left, left))
            sent = SENT_NONE;
        channel->output_size = 0;
    }
    return sent;
}

/* Sends records that were kept. Only called in stages in which `kept` holds records. */
static enum sent flush_kept(struct connection *connection) {
    size_t left;
    enum sent sent = transmit(connection, connection->kept, connection->kept_size, &left);
    if (sent == SENT_SOME) {
        memmove(connection->kept, connection->kept + connection->kept_size - left, left);
        connection->kept_size = left;
    } else {
        kept_drop(connection);
    }
    return sent;
}

/*
 * Receives once into the worker context behind `offset` bytes.
 * Returns how many bytes came, 0 when none are there yet, -1 when the peer is gone.
 */
static ssize_t receive(struct connection *connection, struct worker_context *context, size_t offset) {
    for (;;) {
        ssize_t got = recv(connection->socket, context->received + offset, sizeof context->received - offset, 0);
        if (got > 0)
            return got;
        if (got < 0 && errno == EINTR)
            continue;
        return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
    }
}

uint64_t connection_untaken(const struct connection *connection) {
    int bytes = 0;
    return ioctl(connection->socket, TIOCOUTQ, &bytes) < 0 || bytes < 0 ? 0 : (uint64_t)bytes;
}

bool connection_has_all(struct connection *connection) {
    connection->acknowledged = connection->stage == STAGE_LINGER && connection_untaken(connection) == 0;
    return connection->acknowledged;
}

/*
 * Ends the way to the client. From now on the connection waits until the client has acknowledged all of it, so that the
 * kernel never holds anything that no bound counts.
 */
static bool begin_linger(struct connection *connection) {
    connection->stage = STAGE_LINGER;
    return shutdown(connection->socket, SHUT_WR) == 0;
}

/*
 * How lingering goes on (a lingering close). Whoever may still be sending gets time to read before a reset can reach
 * it; anybody else is through once all is acknowledged, whether the client closes its end or not.
 */
static enum next continue_linger(struct connection *connection) {
    if (connection->talkative)
        return WANT_READ;
    return connection_has_all(connection) ? WANT_CLOSE : WANT_NEWS;
}

static void drop_session(struct connection *connection) {
    tls_session_end(connection->session);
    connection->session = NULL;
}

/* ---- the log ---- */

static void describe(struct response *response, const struct request *request) {
    char host[ASKED_MAX / 4], path[ASKED_MAX / 2];
    snprintf(response->asked, sizeof response->asked, "host=%s path=%s", log_quote(host, sizeof host, request->host),
             log_quote(path, sizeof path, request->path));
}

/* " address=..." or nothing. */
static const char *show_address(char text[static CLIENT_ADDRESS_SHOWN_MAX + 16], const struct connection *connection,
                                const struct worker_context *context) {
    char shown[CLIENT_ADDRESS_SHOWN_MAX];
    client_address_show(shown, &connection->address, context->settings->log_addresses, context->hash_key);
    snprintf(text, CLIENT_ADDRESS_SHOWN_MAX + 16, shown[0] ? " address=%s" : "%s", shown);
    return text;
}

void connection_log_drop(const struct connection *connection, struct worker_context *context, enum drop drop) {
    char address[CLIENT_ADDRESS_SHOWN_MAX + 16];
    drop_log_add(&context->remarks, drop, show_address(address, connection, context), context->now);
}

static void record(const struct connection *connection, const struct worker_context *context) {
    const struct response *response = connection->response;
    char address[CLIENT_ADDRESS_SHOWN_MAX + 16], name[CLIENT_NAME_MAX * 4 + 3],
        client[sizeof name + sizeof " visitor="] = "";
    if (response->client.name[0])
        snprintf(client, sizeof client, " visitor=%s", log_quote(name, sizeof name, response->client.name));
    log_line(LOG_LEVEL_INFO, "request status=%d bytes=%" PRIu64 " complete=%s milliseconds=%" PRIu64 " tls=%s %s%s%s",
             (int)response->reply.status, response->sent, response->ended && !response->broken ? "yes" : "no",
             context->now - connection->begun, tls_version(connection->session), response->asked, client,
             show_address(address, connection, context));
}

/* ---- reply ---- */

/* Puts the next part of the body behind `filled` bytes of plain text. Returns the new length; sets broken. */
static size_t fill_body(struct response *response, struct worker_context *context, size_t filled) {
    struct reply *reply = &response->reply;
    uint64_t missing = reply->body_size - response->sent;
    while (missing > 0 && filled < sizeof context->plain) {
        size_t room = sizeof context->plain - filled;
        size_t wanted = missing < room ? (size_t)missing : room;
        ssize_t got = (ssize_t)wanted;
        if (reply->text)
            memcpy(context->plain + filled, reply->text->bytes + response->sent, wanted);
        else
            got = pread(reply->body, context->plain + filled, wanted, (off_t)response->sent);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) { /* shrunk or unreadable */
            response->broken = true;
            break;
        }
        response->sent += (uint64_t)got;
        filled += (size_t)got;
        missing -= (uint64_t)got;
    }
    return filled;
}

/* Makes the next records. `filled` bytes of plain text, the header, stand in the worker context already. */
static bool make_records(struct connection *connection, struct worker_context *context, size_t filled) {
    struct response *response = connection->response;
    filled = fill_body(response, context, filled);
    if (filled > 0 && tls_write(connection->session, context->plain, filled) != TLS_DONE)
        return false;
    if (response->broken || response->sent == response->reply.body_size) {
        response->ended = true;
        if (!response->broken)
            tls_close_notify(connection->session); /* in the same send as the last data */
    }
    return true;
}

/* After the last byte: a peer that may still be sending gets time to read before a reset can reach it. */
static enum next say_goodbye(struct connection *connection, struct worker_context *context) {
    struct response *response = connection->response;
    bool there = begin_linger(connection);
    connection->talkative |= response->reply.status != STATUS_SUCCESS;
    record(connection, context);
    if (response->broken)
        context->counters->broken_off++;
    else
        context->counters->answered++;
    reply_dispose(&response->reply);
    block_cache_give(response);
    connection->response = NULL;
    drop_session(connection);
    return there ? continue_linger(connection) : WANT_CLOSE;
}

/* Sends until the kernel takes no more, all is said, or it is others' turn. filled: see make_records. */
static enum next deliver(struct connection *connection, struct worker_context *context, size_t filled) {
    for (int turn = 0; turn < TURNS_AT_ONCE; turn++) {
        enum sent sent = SENT_ALL;
        if (connection->kept) {
            sent = flush_kept(connection);
        } else if (connection->response->ended) {
            return say_goodbye(connection, context);
        } else {
            if (!make_records(connection, context, filled))
                return WANT_CLOSE;
            filled = 0;
            sent = flush(connection, context);
        }
        if (sent == SENT_NONE)
            return WANT_CLOSE;
        if (sent == SENT_SOME)
            return WANT_WRITE;
    }
    return WANT_WRITE;
}

/* ---- request ---- */

static void decide(struct connection *connection, struct worker_context *context, enum request_verdict verdict,
                   const struct request *request, struct client *client, struct reply *reply) {
    bool port_is_served =
        request->port == connection->port || settings_has_port(&context->settings->advertised_ports, request->port);
    switch (verdict) {
    case REQUEST_VALID:
        if (!port_is_served)
            reply_set(reply, STATUS_PROXY_REQUEST_REFUSED, "wrong port");
        else if (tls_bars(context->tls, request->host)) /* asked for under the certificate of another host */
            reply_set(reply, STATUS_SERVER_UNAVAILABLE, "identity of this host cannot be used");
        else
            capsules_answer(context->capsules, request, client, reply);
        break;
    case REQUEST_UNNAMEABLE:
        if (!port_is_served || !capsules_serve(context->capsules, request->host, request->host_is_address))
            reply_set(reply, STATUS_PROXY_REQUEST_REFUSED, "host not served here");
        else
            reply_set(reply, STATUS_NOT_FOUND, "not found");
        break;
    case REQUEST_FOREIGN:
        reply_set(reply, STATUS_PROXY_REQUEST_REFUSED, "only gemini URLs are served here");
        break;
    default:
        reply_set(reply, STATUS_BAD_REQUEST, request->problem);
    }
}

static enum next answer(struct connection *connection, struct worker_context *context, enum request_verdict verdict,
                        struct request *request) {
    struct response *response = block_cache_take_zeroed(sizeof *response);
    if (!response)
        return WANT_CLOSE;
    response->reply.body = -1;
    connection->response = response;
    connection->stage = STAGE_RESPONSE;
    kept_drop(connection);
    if (verdict != REQUEST_VALID && verdict != REQUEST_UNNAMEABLE)
        request->host[0] = request->path[0] = '\0';
    response->client = *tls_client_of(connection->session);
    unsigned seconds = quota_spend(&context->quota, &connection->member, QUOTA_REQUESTS, context->now);
    if (seconds > 0) {
        char wait[64];
        snprintf(wait, sizeof wait, "Too many requests; try again in %u seconds", seconds);
        reply_set(&response->reply, STATUS_SLOW_DOWN, wait);
        context->counters->slowed++;
    } else {
        decide(connection, context, verdict, request, &response->client, &response->reply);
    }
    describe(response, request);
    size_t header = reply_header(&response->reply, context->plain);
    if (response->reply.status != STATUS_SUCCESS)
        response->reply.body_size = 0;
    return deliver(connection, context, header);
}

/* Sends the alert or the goodbye that lies in the channel. A client that is still sending gets time to read it, as
 * after a reply. */
static enum next say_why(struct connection *connection, struct worker_context *context) {
    if (flush(connection, context) != SENT_ALL)
        return WANT_CLOSE;
    kept_drop(connection);
    drop_session(connection);
    connection->talkative = true;
    return begin_linger(connection) ? WANT_READ : WANT_CLOSE;
}

/* Does a client keep TLS busy, by new keys or empty records, in place of asking? `length` bytes of its request are
 * there. */
static bool says_too_little(struct connection *connection, const struct worker_context *context, size_t length) {
    connection->responses += (uint32_t)context->channel.output_size;
    return connection->heard > HEARD_BASE + HEARD_PER_BYTE * length || connection->responses > RESPONSES_MAX;
}

/* The same for the address and its prefixes: each record that brings nothing of the request counts as one. */
static bool asks_too_often(struct connection *connection, struct worker_context *context, int filled) {
    connection->idle_records += (int)context->channel.records - filled;
    context->channel.records = 0;
    for (; connection->idle_records > IDLE_RECORDS; connection->idle_records--) {
        if (quota_spend(&context->quota, &connection->member, QUOTA_REQUESTS, context->now) > 0)
            return true;
    }
    return false;
}

/* Reads the request line out of the session; all of its start that came before was kept. */
static enum next read_request(struct connection *connection, struct worker_context *context) {
    struct request request;
    size_t length = connection->kept_size;
    int filled = 0;
    if (length > 0)
        memcpy(context->line, connection->kept, length);
    for (;;) {
        size_t got;
        enum tls_progress progress =
            tls_read(connection->session, context->line + length, sizeof context->line - length, &got);
        if (progress == TLS_WANTS_INPUT)
            break;
        if (progress != TLS_DONE) {
            /* An early goodbye is answered with ours; a broken record with the alert that lies in the channel. */
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
            connection->talkative = context->channel.input_size > 0 || length < 2 || context->line[length - 1] != '\n';
            return answer(connection, context, verdict, &request);
        }
    }
    if (length != connection->kept_size && !keep(connection, context->line, length))
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
     * What TLS itself has to say by now, the end of a handshake or answers to new keys, is little. It cannot wait in
     * `kept`, which holds the request's start: whoever asks for so much of it that it finds no room is let go.
     */
    return flush(connection, context) == SENT_ALL ? WANT_READ : WANT_CLOSE;
}

/* ---- handshake ---- */

static void get_on(struct connection *connection, const struct worker_context *context) {
    connection->steps++;
    connection->stirred = context->now;
}

/*
 * The last message of a handshake of TLS 1.3 is the client's, and nothing of ours follows that would acknowledge it.
 * The kernel waits up to 40 ms for something of the kind, and most clients (RFC 896) hold back their request until it
 * comes.
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
        connection->stage = STAGE_REQUEST;
        get_on(connection, context);
        channel->records = 0; /* those of the handshake */
        next = read_request(connection, context);
        connection->responses = 0; /* that was the end of the handshake */
        if (next == WANT_READ && connection->stage == STAGE_REQUEST)
            acknowledge(connection);
        return next;
    case TLS_WANTS_SIGNATURE:
        /* Of a flight nothing is there yet, but a HelloRetryRequest may be, if the second ClientHello came early. */
        if (flush(connection, context) != SENT_ALL)
            return WANT_CLOSE;
        connection->signing = true;
        if (channel->input_size > 0 && !keep(connection, channel->input, channel->input_size))
            return WANT_CLOSE;
        return WANT_SIGNATURE;
    case TLS_WANTS_INPUT:
        /* A flight is a few kilobytes: an empty socket buffer takes it. If not, the rest is kept until it does. */
        switch (flush(connection, context)) {
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
    connection->signing = false;
    get_on(connection, context);
    if (connection->kept) {
        memcpy(context->received, connection->kept, connection->kept_size);
        context->channel.input = context->received;
        context->channel.input_size = connection->kept_size;
        kept_drop(connection);
    }
    return handshake_went(connection, context, tls_session_sign(connection->session, signature, size));
}

/* Collects the ClientHello; size: bytes of it in the worker context. */
static enum next greet(struct connection *connection, struct worker_context *context, size_t size) {
    char name[HELLO_NAME_MAX + 1];
    size = hello_join(context->received, size);
    context->channel.input_size = size;
    switch (hello_examine(context->received, size)) {
    case HELLO_INCOMPLETE:
        return keep(connection, context->received, size) ? WANT_READ : WANT_CLOSE;
    case HELLO_FOREIGN:
        context->counters->foreign++;
        connection_log_drop(connection, context, DROP_FOREIGN);
        return WANT_CLOSE;
    default:
        break;
    }
    kept_drop(connection);
    get_on(connection, context);
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
    return !connection->proxied && !connection->claimed && client_address_is_loopback(&connection->address);
}

/* Whose quotas does it count for? */
static void find_groups(struct connection *connection, const struct worker_context *context) {
    static const struct address_group loopback = {.bits = 1}, not_told = {.bits = 2}; /* no prefix has so few */
    struct address_group groups[CLIENT_ADDRESS_GROUPS_MAX];
    connection->member = (struct quota_member){0};
    if (connection->proxied) { /* all that have not said yet who they are: they give way like one client with many */
        join(connection, context, &not_told, 0);
        return;
    }
    /* What comes from this machine itself is a proxy, an onion service or its owner: many clients. A claim is no proof.
     */
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
    connection->stage = STAGE_WAITING;
    quota_leave(&context->quota, &connection->member);
    connection->member = (struct quota_member){0};
    quota_enter(&context->quota, &connection->member);
}

enum admission connection_admit(struct connection *connection, struct worker_context *context) {
    quota_leave(&context->quota, &connection->member);
    find_groups(connection, context);
    if (!quota_enter(&context->quota, &connection->member))
        return NO_PLACE;
    if (connection->stage == STAGE_WAITING) {
        connection->stage = STAGE_HANDSHAKE;
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
 * Takes the PROXY protocol header, which says where the connection really comes from. *size: bytes in the worker
 * context, then those behind the header.
 */
static enum next introduce(struct connection *connection, struct worker_context *context, size_t *size) {
    struct proxy_header header;
    switch (proxy_parse(context->received, *size, &header)) {
    case PROXY_INCOMPLETE:
        return keep(connection, context->received, *size) ? WANT_READ : WANT_CLOSE;
    case PROXY_INVALID:
        context->counters->foreign++;
        connection_log_drop(connection, context, DROP_FOREIGN);
        return WANT_CLOSE;
    default:
        break;
    }
    connection->proxied = false;
    connection->claimed = header.has_addresses;
    if (header.has_addresses)
        connection->address = client_address_of_bytes(header.source, header.is_ipv6);
    *size -= header.length;
    memmove(context->received, context->received + header.length, *size);
    kept_drop(connection);
    enum admission admission = connection_admit(connection, context);
    if (admission != ADMITTED)
        connection_refuse(connection, context, admission);
    return admission == ADMITTED ? WANT_READ : WANT_CLOSE;
}

/* ---- from outside ---- */

static enum next take_input(struct connection *connection, struct worker_context *context) {
    bool greeting = connection->stage == STAGE_HANDSHAKE && !connection->session;
    size_t before = greeting ? connection->kept_size : 0;
    if (before > 0)
        memcpy(context->received, connection->kept, before);
    ssize_t got = receive(connection, context, before);
    if (got < 0) /* a client may end its half before it has all of ours */
        return connection->stage != STAGE_LINGER || connection_has_all(connection) ? WANT_CLOSE : WANT_NEWS;
    if (got == 0)
        return connection->stage == STAGE_LINGER ? continue_linger(connection) : WANT_READ;
    if (greeting) {
        size_t size = before + (size_t)got;
        if (connection->proxied) {
            enum next next = introduce(connection, context, &size);
            if (next == WANT_CLOSE || connection->proxied || size == 0)
                return next;
        }
        context->channel.input = context->received;
        context->channel.input_size = size;
        return greet(connection, context, size);
    }
    if (connection->stage == STAGE_LINGER)
        return continue_linger(connection);
    context->channel.input = context->received;
    context->channel.input_size = (size_t)got;
    connection->heard += connection->stage == STAGE_REQUEST ? (uint32_t)got : 0;
    return connection->stage == STAGE_HANDSHAKE ? shake_hands(connection, context) : read_request(connection, context);
}

enum next connection_continue(struct connection *connection, struct worker_context *context, bool readable) {
    context->channel.input_size = 0;
    context->channel.output_size = 0;
    context->channel.records = 0;
    if (connection->signing)
        return WANT_SIGNATURE;
    if (connection->stage == STAGE_RESPONSE)
        return deliver(connection, context, 0);
    if (connection->armed == WANT_WRITE && connection->stage == STAGE_HANDSHAKE && connection->kept) {
        enum sent sent = flush_kept(connection);
        if (sent != SENT_ALL)
            return sent == SENT_SOME ? WANT_WRITE : WANT_CLOSE;
        return WANT_READ;
    }
    if (connection->stage == STAGE_LINGER && !readable)
        return continue_linger(connection);
    return readable ? take_input(connection, context) : WANT_READ;
}

void connection_end(struct connection *connection, struct worker_context *context) {
    if (connection->response) {
        connection->response->broken = true;
        record(connection, context);
        context->counters->broken_off++;
        reply_dispose(&connection->response->reply);
        block_cache_give(connection->response);
    }
    quota_leave(&context->quota, &connection->member);
    tls_session_end(connection->session);
    if (!connection->acknowledged)
        setsockopt(connection->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(connection->socket);
    free(connection->kept);
    block_cache_give(connection);
}
