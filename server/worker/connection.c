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

#include "common/bounds.h"
#include "common/log.h"
#include "proxy_protocol.h"
#include "spare.h"

#define ASKED_MAX 512
/*
 * What may come before the request is there: one byte of it in each record, or a record filled up to the largest size.
 * A client that changes keys instead reaches one of these bounds soon.
 */
#define HEARD_BASE 18432
#define HEARD_PER_BYTE 64
#define RESPONSES_MAX 2048
#define IDLE_RECORDS 2 /* without a part of the request: a record that has only begun, and one for good measure */
/* Parts of a body that go out before others have their turn: 160 kB, a fifth of a millisecond. The farewell is one, too. */
#define TURNS_AT_ONCE 5

struct delivery {
    struct reply reply;
    struct visitor visitor;
    uint64_t sent;         /* bytes of the body that have become records */
    bool ended;            /* the last record and close_notify are made */
    bool broken;           /* the body cannot be sent whole: no close_notify follows (its absence tells the visitor) */
    char asked[ASKED_MAX]; /* host and path for the log, already escaped */
};

struct connection *connection_begin(int socket, uint16_t port, const struct address *from, bool proxied, uint64_t now) {
    struct connection *connection = spare_take_zeroed(sizeof *connection);
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

enum moved { MOVED_ALL, MOVED_SOME, MOVED_NONE };

/*
 * Sends as much as the kernel takes. *left: how many bytes at the end of `bytes` were not taken. The last bytes of a
 * reply wait for the end of the connection (say_farewell), which goes out with them: a packet less on its way.
 */
static enum moved transmit(struct connection *connection, const uint8_t *bytes, size_t size, size_t *left) {
    int flags = MSG_NOSIGNAL | (connection->delivery && connection->delivery->ended ? MSG_MORE : 0);
    *left = size;
    while (*left > 0) {
        ssize_t sent = send(connection->socket, bytes + size - *left, *left, flags);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? MOVED_SOME : MOVED_NONE;
        *left -= (size_t)sent;
        if (connection->stage == STAGE_REPLY)
            connection->moved += (uint64_t)sent;
    }
    return MOVED_ALL;
}

/* Sends the records in the channel; what finds no room is kept. MOVED_NONE: the peer is gone or memory is. */
static enum moved flush(struct connection *connection, struct workbench *bench) {
    struct tls_channel *channel = &bench->channel;
    size_t left;
    enum moved moved = MOVED_ALL;
    if (channel->output_size > 0) {
        moved = transmit(connection, channel->output, channel->output_size, &left);
        if (moved == MOVED_SOME && !keep(connection, channel->output + channel->output_size - left, left))
            moved = MOVED_NONE;
        channel->output_size = 0;
    }
    return moved;
}

/* Sends records that were kept. Only called in stages in which `kept` holds records. */
static enum moved flush_kept(struct connection *connection) {
    size_t left;
    enum moved moved = transmit(connection, connection->kept, connection->kept_size, &left);
    if (moved == MOVED_SOME) {
        memmove(connection->kept, connection->kept + connection->kept_size - left, left);
        connection->kept_size = left;
    } else {
        kept_drop(connection);
    }
    return moved;
}

/*
 * Receives once into the workbench behind `offset` bytes.
 * Returns how many bytes came, 0 when none are there yet, -1 when the peer is gone.
 */
static ssize_t receive(struct connection *connection, struct workbench *bench, size_t offset) {
    for (;;) {
        ssize_t got = recv(connection->socket, bench->received + offset, sizeof bench->received - offset, 0);
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
    connection->acknowledged = connection->stage == STAGE_FAREWELL && connection_untaken(connection) == 0;
    return connection->acknowledged;
}

/*
 * Ends the way to the client. From now on the connection waits until the client has acknowledged all of it, so that the
 * kernel never holds anything that no bound counts.
 */
static bool begin_farewell(struct connection *connection) {
    connection->stage = STAGE_FAREWELL;
    return shutdown(connection->socket, SHUT_WR) == 0;
}

/*
 * How the farewell goes on. Whoever may still be sending gets time to read before a reset can reach it; anybody else is
 * through once all is acknowledged, whether the client closes its end or not.
 */
static enum wish go_on_with_farewell(struct connection *connection) {
    if (connection->talkative)
        return WISH_INPUT;
    return connection_has_all(connection) ? WISH_END : WISH_NEWS;
}

static void drop_session(struct connection *connection) {
    tls_session_end(connection->session);
    connection->session = NULL;
}

/* ---- the log ---- */

static void describe(struct delivery *delivery, const struct request *request) {
    char host[ASKED_MAX / 4], path[ASKED_MAX / 2];
    snprintf(delivery->asked, sizeof delivery->asked, "host=%s path=%s", log_quote(host, sizeof host, request->host),
             log_quote(path, sizeof path, request->path));
}

/* " address=..." or nothing. */
static const char *show_address(char text[static ADDRESS_SHOWN_MAX + 16], const struct connection *connection,
                                const struct workbench *bench) {
    char shown[ADDRESS_SHOWN_MAX];
    address_show(shown, &connection->address, bench->settings->log_addresses, bench->hash_key);
    snprintf(text, ADDRESS_SHOWN_MAX + 16, shown[0] ? " address=%s" : "%s", shown);
    return text;
}

void connection_remark(const struct connection *connection, struct workbench *bench, enum remark remark) {
    char address[ADDRESS_SHOWN_MAX + 16];
    remarks_add(&bench->remarks, remark, show_address(address, connection, bench), bench->now);
}

static void record(const struct connection *connection, const struct workbench *bench) {
    const struct delivery *delivery = connection->delivery;
    char address[ADDRESS_SHOWN_MAX + 16], name[VISITOR_NAME_MAX * 4 + 3],
        visitor[sizeof name + sizeof " visitor="] = "";
    if (delivery->visitor.name[0])
        snprintf(visitor, sizeof visitor, " visitor=%s", log_quote(name, sizeof name, delivery->visitor.name));
    log_line(LOG_LEVEL_INFO, "request status=%d bytes=%" PRIu64 " complete=%s milliseconds=%" PRIu64 " tls=%s %s%s%s",
             (int)delivery->reply.status, delivery->sent, delivery->ended && !delivery->broken ? "yes" : "no",
             bench->now - connection->begun, tls_version(connection->session), delivery->asked, visitor,
             show_address(address, connection, bench));
}

/* ---- reply ---- */

/* Puts the next part of the body behind `filled` bytes of plain text. Returns the new length; sets broken. */
static size_t fill_body(struct delivery *delivery, struct workbench *bench, size_t filled) {
    struct reply *reply = &delivery->reply;
    uint64_t missing = reply->body_size - delivery->sent;
    while (missing > 0 && filled < sizeof bench->plain) {
        size_t room = sizeof bench->plain - filled;
        size_t wanted = missing < room ? (size_t)missing : room;
        ssize_t got = (ssize_t)wanted;
        if (reply->text)
            memcpy(bench->plain + filled, reply->text->bytes + delivery->sent, wanted);
        else
            got = pread(reply->body, bench->plain + filled, wanted, (off_t)delivery->sent);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) { /* shrunk or unreadable */
            delivery->broken = true;
            break;
        }
        delivery->sent += (uint64_t)got;
        filled += (size_t)got;
        missing -= (uint64_t)got;
    }
    return filled;
}

/* Makes the next records. `filled` bytes of plain text, the header, stand in the workbench already. */
static bool make_records(struct connection *connection, struct workbench *bench, size_t filled) {
    struct delivery *delivery = connection->delivery;
    filled = fill_body(delivery, bench, filled);
    if (filled > 0 && tls_write(connection->session, bench->plain, filled) != TLS_DONE)
        return false;
    if (delivery->broken || delivery->sent == delivery->reply.body_size) {
        delivery->ended = true;
        if (!delivery->broken)
            tls_close_notify(connection->session); /* in the same send as the last data */
    }
    return true;
}

/* After the last byte: a peer that may still be sending gets time to read before a reset can reach it. */
static enum wish say_farewell(struct connection *connection, struct workbench *bench) {
    struct delivery *delivery = connection->delivery;
    bool there = begin_farewell(connection);
    connection->talkative |= delivery->reply.status != STATUS_SUCCESS;
    record(connection, bench);
    if (delivery->broken)
        bench->tally->broken_off++;
    else
        bench->tally->answered++;
    reply_dispose(&delivery->reply);
    spare_give(delivery);
    connection->delivery = NULL;
    drop_session(connection);
    return there ? go_on_with_farewell(connection) : WISH_END;
}

/* Sends until the kernel takes no more, all is said, or it is others' turn. filled: see make_records. */
static enum wish deliver(struct connection *connection, struct workbench *bench, size_t filled) {
    for (int turn = 0; turn < TURNS_AT_ONCE; turn++) {
        enum moved moved = MOVED_ALL;
        if (connection->kept) {
            moved = flush_kept(connection);
        } else if (connection->delivery->ended) {
            return say_farewell(connection, bench);
        } else {
            if (!make_records(connection, bench, filled))
                return WISH_END;
            filled = 0;
            moved = flush(connection, bench);
        }
        if (moved == MOVED_NONE)
            return WISH_END;
        if (moved == MOVED_SOME)
            return WISH_OUTPUT;
    }
    return WISH_OUTPUT;
}

/* ---- request ---- */

static void decide(struct connection *connection, struct workbench *bench, enum request_verdict verdict,
                   const struct request *request, struct visitor *visitor, struct reply *reply) {
    bool port_is_served =
        request->port == connection->port || settings_has_port(&bench->settings->advertised_ports, request->port);
    switch (verdict) {
    case REQUEST_VALID:
        if (!port_is_served)
            reply_set(reply, STATUS_PROXY_REQUEST_REFUSED, "wrong port");
        else if (tls_bars(bench->tls, request->host)) /* asked for under the certificate of another host */
            reply_set(reply, STATUS_SERVER_UNAVAILABLE, "identity of this host cannot be used");
        else
            capsules_answer(bench->capsules, request, visitor, reply);
        break;
    case REQUEST_UNNAMEABLE:
        if (!port_is_served || !capsules_serve(bench->capsules, request->host, request->host_is_address))
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

static enum wish answer(struct connection *connection, struct workbench *bench, enum request_verdict verdict,
                        struct request *request) {
    struct delivery *delivery = spare_take_zeroed(sizeof *delivery);
    if (!delivery)
        return WISH_END;
    delivery->reply.body = -1;
    connection->delivery = delivery;
    connection->stage = STAGE_REPLY;
    kept_drop(connection);
    if (verdict != REQUEST_VALID && verdict != REQUEST_UNNAMEABLE)
        request->host[0] = request->path[0] = '\0';
    delivery->visitor = *tls_visitor(connection->session);
    unsigned seconds = quota_spend(&bench->quota, &connection->member, QUOTA_REQUESTS, bench->now);
    if (seconds > 0) {
        char wait[64];
        snprintf(wait, sizeof wait, "Too many requests; try again in %u seconds", seconds);
        reply_set(&delivery->reply, STATUS_SLOW_DOWN, wait);
        bench->tally->slowed++;
    } else {
        decide(connection, bench, verdict, request, &delivery->visitor, &delivery->reply);
    }
    describe(delivery, request);
    size_t header = reply_header(&delivery->reply, bench->plain);
    if (delivery->reply.status != STATUS_SUCCESS)
        delivery->reply.body_size = 0;
    return deliver(connection, bench, header);
}

/* Sends the alert or the goodbye that lies in the channel. A client that is still sending gets time to read it, as after a reply. */
static enum wish say_why(struct connection *connection, struct workbench *bench) {
    if (flush(connection, bench) != MOVED_ALL)
        return WISH_END;
    kept_drop(connection);
    drop_session(connection);
    connection->talkative = true;
    return begin_farewell(connection) ? WISH_INPUT : WISH_END;
}

/* Does a client keep TLS busy, by new keys or empty records, in place of asking? `length` bytes of its request are there. */
static bool says_too_little(struct connection *connection, const struct workbench *bench, size_t length) {
    connection->responses += (uint32_t)bench->channel.output_size;
    return connection->heard > HEARD_BASE + HEARD_PER_BYTE * length || connection->responses > RESPONSES_MAX;
}

/* The same for the address and its prefixes: each record that brings nothing of the request counts as one. */
static bool asks_too_often(struct connection *connection, struct workbench *bench, int filled) {
    connection->idle_records += (int)bench->channel.records - filled;
    bench->channel.records = 0;
    for (; connection->idle_records > IDLE_RECORDS; connection->idle_records--) {
        if (quota_spend(&bench->quota, &connection->member, QUOTA_REQUESTS, bench->now) > 0)
            return true;
    }
    return false;
}

/* Reads the request line out of the session; all of its start that came before was kept. */
static enum wish read_request(struct connection *connection, struct workbench *bench) {
    struct request request;
    size_t length = connection->kept_size;
    int filled = 0;
    if (length > 0)
        memcpy(bench->line, connection->kept, length);
    for (;;) {
        size_t got;
        enum tls_progress progress =
            tls_read(connection->session, bench->line + length, sizeof bench->line - length, &got);
        if (progress == TLS_WANTS_INPUT)
            break;
        if (progress != TLS_DONE) {
            /* An early goodbye is answered with ours; a broken record with the alert that lies in the channel. */
            if (progress == TLS_ENDED)
                tls_close_notify(connection->session);
            return say_why(connection, bench);
        }
        length += got;
        filled++;
        enum request_verdict verdict = request_parse(bench->line, length, &request);
        if (verdict == REQUEST_INCOMPLETE && length > REQUEST_LINE_MAX) {
            verdict = REQUEST_MALFORMED;
            request.problem = "the request is longer than 1024 bytes";
        }
        if (verdict != REQUEST_INCOMPLETE) {
            connection->talkative = bench->channel.input_size > 0 || length < 2 || bench->line[length - 1] != '\n';
            return answer(connection, bench, verdict, &request);
        }
    }
    if (length != connection->kept_size && !keep(connection, bench->line, length))
        return WISH_END;
    if (asks_too_often(connection, bench, filled)) {
        connection_refuse(connection, bench, TOO_OFTEN);
        return WISH_END;
    }
    if (says_too_little(connection, bench, length)) {
        bench->tally->failed++;
        connection_remark(connection, bench, REMARK_FAILED);
        return WISH_END;
    }
    /*
     * What TLS itself has to say by now, the end of a handshake or answers to new keys, is little. It cannot wait in `kept`,
     * which holds the request's start: whoever asks for so much of it that it finds no room is let go.
     */
    return flush(connection, bench) == MOVED_ALL ? WISH_INPUT : WISH_END;
}

/* ---- handshake ---- */

static void get_on(struct connection *connection, const struct workbench *bench) {
    connection->steps++;
    connection->stirred = bench->now;
}

/*
 * The last message of a handshake of TLS 1.3 is the visitor's, and nothing of ours follows that would acknowledge it. The
 * kernel waits up to 40 ms for something of the kind, and most clients (RFC 896) hold back their request until it comes.
 */
static void acknowledge(const struct connection *connection) {
    setsockopt(connection->socket, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

static enum wish handshake_went(struct connection *connection, struct workbench *bench, enum tls_progress progress) {
    struct tls_channel *channel = &bench->channel;
    enum wish wish;
    switch (progress) {
    case TLS_DONE:
        connection->stage = STAGE_REQUEST;
        get_on(connection, bench);
        channel->records = 0; /* those of the handshake */
        wish = read_request(connection, bench);
        connection->responses = 0; /* that was the end of the handshake */
        if (wish == WISH_INPUT && connection->stage == STAGE_REQUEST)
            acknowledge(connection);
        return wish;
    case TLS_WANTS_SIGNATURE:
        /* Of a flight nothing is there yet, but a HelloRetryRequest may be, if the second ClientHello came early. */
        if (flush(connection, bench) != MOVED_ALL)
            return WISH_END;
        connection->signing = true;
        if (channel->input_size > 0 && !keep(connection, channel->input, channel->input_size))
            return WISH_END;
        return WISH_SIGNATURE;
    case TLS_WANTS_INPUT:
        /* A flight is a few kilobytes: an empty socket buffer takes it. If not, the rest is kept until it does. */
        switch (flush(connection, bench)) {
        case MOVED_ALL:
            return WISH_INPUT;
        case MOVED_SOME:
            return WISH_OUTPUT;
        default:
            return WISH_END;
        }
    default:
        bench->tally->failed++;
        connection_remark(connection, bench, REMARK_FAILED);
        return say_why(connection, bench);
    }
}

static enum wish shake_hands(struct connection *connection, struct workbench *bench) {
    return handshake_went(connection, bench, tls_handshake(connection->session));
}

enum wish connection_sign(struct connection *connection, struct workbench *bench, const uint8_t *signature,
                          size_t size) {
    bench->channel.input_size = bench->channel.output_size = 0;
    connection->signing = false;
    get_on(connection, bench);
    if (connection->kept) {
        memcpy(bench->received, connection->kept, connection->kept_size);
        bench->channel.input = bench->received;
        bench->channel.input_size = connection->kept_size;
        kept_drop(connection);
    }
    return handshake_went(connection, bench, tls_session_sign(connection->session, signature, size));
}

/* Collects the ClientHello; size: bytes of it in the workbench. */
static enum wish greet(struct connection *connection, struct workbench *bench, size_t size) {
    char name[HELLO_NAME_MAX + 1];
    size = hello_join(bench->received, size);
    bench->channel.input_size = size;
    switch (hello_examine(bench->received, size)) {
    case HELLO_INCOMPLETE:
        return keep(connection, bench->received, size) ? WISH_INPUT : WISH_END;
    case HELLO_FOREIGN:
        bench->tally->foreign++;
        connection_remark(connection, bench, REMARK_FOREIGN);
        return WISH_END;
    default:
        break;
    }
    kept_drop(connection);
    get_on(connection, bench);
    hello_server_name(bench->received, size, name);
    const struct quota_member *member = &connection->member;
    const struct desk_origin origin = {member->groups[0].hash,
                                       member->groups[member->count > 0 ? member->count - 1 : 0].hash};
    connection->session = tls_session_begin(bench->tls, name, connection, &origin);
    return connection->session ? shake_hands(connection, bench) : handshake_went(connection, bench, TLS_FAILED);
}

/* ---- where it comes from ---- */

static void join(struct connection *connection, const struct workbench *bench, const struct address_group *group,
                 uint32_t connections_max) {
    struct quota_member *member = &connection->member;
    member->groups[member->count].hash = keyed_hash(bench->hash_key, group, sizeof *group);
    member->groups[member->count].connections_max = connections_max;
    member->groups[member->count].times = group->times;
    member->count++;
}

bool connection_is_local(const struct connection *connection) {
    return !connection->proxied && !connection->claimed && address_is_loopback(&connection->address);
}

/* Whose quotas does it count for? */
static void find_groups(struct connection *connection, const struct workbench *bench) {
    static const struct address_group loopback = {.bits = 1}, not_told = {.bits = 2}; /* no prefix has so few */
    struct address_group groups[ADDRESS_GROUPS_MAX];
    connection->member = (struct quota_member){0};
    if (connection->proxied) { /* all that have not said yet who they are: they give way like one client with many */
        join(connection, bench, &not_told, 0);
        return;
    }
    /* What comes from this machine itself is a proxy, an onion service or its owner: many clients. A claim is no proof. */
    if (connection_is_local(connection)) {
        join(connection, bench, &loopback, bench->settings->max_connections_from_loopback);
        return;
    }
    size_t count = address_groups(&connection->address, groups);
    connection->member.rated = true;
    for (size_t i = 0; i < count; i++)
        join(connection, bench, &groups[i], bench->settings->max_connections_per_address * groups[i].times);
}

void connection_wait(struct connection *connection, struct workbench *bench) {
    connection->stage = STAGE_WAITING;
    quota_leave(&bench->quota, &connection->member);
    connection->member = (struct quota_member){0};
    quota_enter(&bench->quota, &connection->member);
}

enum admission connection_admit(struct connection *connection, struct workbench *bench) {
    quota_leave(&bench->quota, &connection->member);
    find_groups(connection, bench);
    if (!quota_enter(&bench->quota, &connection->member))
        return NO_PLACE;
    if (connection->stage == STAGE_WAITING) {
        connection->stage = STAGE_HANDSHAKE;
        connection->begun = connection->stirred = bench->now;
    }
    return quota_spend(&bench->quota, &connection->member, QUOTA_HANDSHAKES, bench->now) > 0 ? TOO_OFTEN : ADMITTED;
}

void connection_refuse(const struct connection *connection, struct workbench *bench, enum admission why) {
    if (why == TOO_OFTEN)
        bench->tally->throttled++;
    else
        bench->tally->refused++;
    connection_remark(connection, bench, why == TOO_OFTEN ? REMARK_THROTTLED : REMARK_REFUSED);
}

/*
 * Takes the PROXY protocol header, which says where the connection really comes from. *size: bytes in the workbench, then
 * those behind the header.
 */
static enum wish introduce(struct connection *connection, struct workbench *bench, size_t *size) {
    struct proxy_header header;
    switch (proxy_parse(bench->received, *size, &header)) {
    case PROXY_INCOMPLETE:
        return keep(connection, bench->received, *size) ? WISH_INPUT : WISH_END;
    case PROXY_INVALID:
        bench->tally->foreign++;
        connection_remark(connection, bench, REMARK_FOREIGN);
        return WISH_END;
    default:
        break;
    }
    connection->proxied = false;
    connection->claimed = header.has_addresses;
    if (header.has_addresses)
        connection->address = address_of_bytes(header.source, header.is_ipv6);
    *size -= header.length;
    memmove(bench->received, bench->received + header.length, *size);
    kept_drop(connection);
    enum admission admission = connection_admit(connection, bench);
    if (admission != ADMITTED)
        connection_refuse(connection, bench, admission);
    return admission == ADMITTED ? WISH_INPUT : WISH_END;
}

/* ---- from outside ---- */

static enum wish take_input(struct connection *connection, struct workbench *bench) {
    bool greeting = connection->stage == STAGE_HANDSHAKE && !connection->session;
    size_t before = greeting ? connection->kept_size : 0;
    if (before > 0)
        memcpy(bench->received, connection->kept, before);
    ssize_t got = receive(connection, bench, before);
    if (got < 0) /* a client may end its half before it has all of ours */
        return connection->stage != STAGE_FAREWELL || connection_has_all(connection) ? WISH_END : WISH_NEWS;
    if (got == 0)
        return connection->stage == STAGE_FAREWELL ? go_on_with_farewell(connection) : WISH_INPUT;
    if (greeting) {
        size_t size = before + (size_t)got;
        if (connection->proxied) {
            enum wish wish = introduce(connection, bench, &size);
            if (wish == WISH_END || connection->proxied || size == 0)
                return wish;
        }
        bench->channel.input = bench->received;
        bench->channel.input_size = size;
        return greet(connection, bench, size);
    }
    if (connection->stage == STAGE_FAREWELL)
        return go_on_with_farewell(connection);
    bench->channel.input = bench->received;
    bench->channel.input_size = (size_t)got;
    connection->heard += connection->stage == STAGE_REQUEST ? (uint32_t)got : 0;
    return connection->stage == STAGE_HANDSHAKE ? shake_hands(connection, bench) : read_request(connection, bench);
}

enum wish connection_continue(struct connection *connection, struct workbench *bench, bool readable) {
    bench->channel.input_size = 0;
    bench->channel.output_size = 0;
    bench->channel.records = 0;
    if (connection->signing)
        return WISH_SIGNATURE;
    if (connection->stage == STAGE_REPLY)
        return deliver(connection, bench, 0);
    if (connection->armed == WISH_OUTPUT && connection->stage == STAGE_HANDSHAKE && connection->kept) {
        enum moved moved = flush_kept(connection);
        if (moved != MOVED_ALL)
            return moved == MOVED_SOME ? WISH_OUTPUT : WISH_END;
        return WISH_INPUT;
    }
    if (connection->stage == STAGE_FAREWELL && !readable)
        return go_on_with_farewell(connection);
    return readable ? take_input(connection, bench) : WISH_INPUT;
}

void connection_end(struct connection *connection, struct workbench *bench) {
    if (connection->delivery) {
        connection->delivery->broken = true;
        record(connection, bench);
        bench->tally->broken_off++;
        reply_dispose(&connection->delivery->reply);
        spare_give(connection->delivery);
    }
    quota_leave(&bench->quota, &connection->member);
    tls_session_end(connection->session);
    if (!connection->acknowledged)
        setsockopt(connection->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(connection->socket);
    free(connection->kept);
    spare_give(connection);
}
