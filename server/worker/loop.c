/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "loop.h"

#include <sys/epoll.h>

#include "connection_io.h"
#include "connection_log.h"

#define REPLY_RATE_MIN 512 /* bytes per second; a client that reads more slowly is disconnected */
#define NEARLY_FULL 64     /* places that other workers cannot all have filled within a millisecond */
#define CREDIT 4           /* times reply-timeout: how long bytes that a client took in advance count */

/* ---- deadlines ---- */

static const enum deadline deadline_in[STATE_COUNT] = {
    [STATE_WAITING] = DEADLINE_WAITING,     [STATE_PROXY_HEADER] = DEADLINE_HANDSHAKE,
    [STATE_HELLO] = DEADLINE_HANDSHAKE,     [STATE_HANDSHAKE] = DEADLINE_HANDSHAKE,
    [STATE_SIGNATURE] = DEADLINE_HANDSHAKE, [STATE_REQUEST] = DEADLINE_REQUEST,
    [STATE_RESPONSE] = DEADLINE_RESPONSE,   [STATE_LAST_BYTES] = DEADLINE_RESPONSE,
    [STATE_DRAIN] = DEADLINE_LINGER,        [STATE_LINGER] = DEADLINE_LINGER,
};

void loop_leave_queue(struct worker *worker, struct connection *connection) {
    struct queue *queue = &worker->queues[connection->queued];
    if (connection->earlier)
        connection->earlier->later = connection->later;
    else
        queue->first = connection->later;
    if (connection->later)
        connection->later->earlier = connection->earlier;
    else
        queue->last = connection->earlier;
}

/* How long until a connection with this deadline is looked at, which is its end for most of them. */
static unsigned duration_of(const struct worker *worker, enum deadline deadline) {
    unsigned duration = worker->setup->deadlines.of[deadline];
    return deadline == DEADLINE_RESPONSE && duration > LOOP_LOOK ? LOOP_LOOK : duration;
}

void loop_enter_queue(struct worker *worker, struct connection *connection) {
    enum deadline deadline = deadline_in[connection->state];
    struct queue *queue = &worker->queues[deadline];
    connection->queued = deadline;
    connection->deadline = worker->context->now + duration_of(worker, deadline);
    connection->later = NULL;
    connection->earlier = queue->last;
    if (queue->last)
        queue->last->later = connection;
    else
        queue->first = connection;
    queue->last = connection;
}

uint64_t loop_open(const struct worker *worker) {
    struct quota *quota = &worker->context->quota;
    uint64_t lately = quota_open_lately(quota), most = worker->setup->settings->max_connections;
    return lately + NEARLY_FULL + most / 4 < most ? lately : quota_open(quota);
}

bool loop_is_full(const struct worker *worker) {
    return loop_open(worker) >= worker->setup->settings->max_connections;
}

/* ---- connections ---- */

void loop_finish(struct worker *worker, struct connection *connection, bool queued) {
    if (worker->giver == connection)
        worker->giver = NULL;
    if (queued)
        loop_leave_queue(worker, connection);
    connection_end(connection, worker->context);
    worker->open--;
    worker->context->counters->open--;
}

static void handle(struct worker *worker, void *context, uint32_t events);

void loop_wait(struct worker *worker, struct connection *connection) {
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = &connection->source};
    connection->source = (struct event_source){handle, connection};
    if (epoll_ctl(worker->events, EPOLL_CTL_ADD, connection->socket, &event) < 0)
        loop_finish(worker, connection, false);
    else
        loop_enter_queue(worker, connection);
}

void loop_end_wait(struct worker *worker, struct connection *connection) {
    loop_leave_queue(worker, connection);
    epoll_ctl(worker->events, EPOLL_CTL_DEL, connection->socket, NULL);
}

void loop_apply(struct worker *worker, struct connection *connection, enum next next, bool fresh) {
    if (next == WANT_CLOSE) {
        loop_finish(worker, connection, !fresh);
        return;
    }
    connection->source = (struct event_source){handle, connection};
    /* The client is usually silent while its signature is made, so what epoll watches need not change. */
    enum next watched = next == WANT_SIGNATURE ? WANT_READ : next;
    if (fresh || (connection->armed != watched && next != WANT_SIGNATURE)) {
        struct epoll_event event = {.events = watched == WANT_WRITE ? EPOLLOUT : EPOLLIN,
                                    .data.ptr = &connection->source};
        if (watched == WANT_NEWS)
            event.events |= EPOLLOUT | EPOLLET; /* only output events report acknowledgements */
        connection->armed = watched;
        if (epoll_ctl(worker->events, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, connection->socket, &event) < 0) {
            loop_finish(worker, connection, !fresh);
            return;
        }
    }
    enum deadline deadline = deadline_in[connection->state];
    if (deadline >= DEADLINE_RESPONSE && (fresh || connection->queued < DEADLINE_RESPONSE))
        connection->due = worker->context->now + worker->setup->deadlines.of[DEADLINE_RESPONSE];
    if (fresh) {
        loop_enter_queue(worker, connection);
    } else if (connection->queued != deadline) {
        loop_leave_queue(worker, connection);
        loop_enter_queue(worker, connection);
    }
}

/*
 * Checks a response whose client may be slow. Bytes that the client has acknowledged count, and grant time at the
 * lowest allowed rate: if the client itself reads few bytes all the time, its kernel takes many at once and then none
 * for long. Returns whether it may continue.
 */
static bool look_at_reply(struct worker *worker, struct connection *connection) {
    uint64_t now = worker->context->now, untaken = connection_untaken(connection);
    uint64_t taken = connection->sent > untaken ? connection->sent - untaken : 0;
    uint64_t more = taken > connection->taken ? taken - connection->taken : 0;
    uint64_t latest = now + (uint64_t)CREDIT * worker->setup->deadlines.of[DEADLINE_RESPONSE];
    connection->pace = connection->pace / 2 + (uint32_t)(more < 2ULL * LOOP_SLOW ? more : 2ULL * LOOP_SLOW) / 2;
    connection->taken += more;
    connection->looked_at = true;
    connection->due += more * 1000 / REPLY_RATE_MIN;
    connection->due = connection->due < latest ? connection->due : latest;
    quota_weigh(&worker->context->quota, &connection->member);
    return !connection_has_all(connection) && now < connection->due;
}

void loop_end_the_late(struct worker *worker) {
    for (enum deadline deadline = 0; deadline < DEADLINE_COUNT; deadline++) {
        struct connection *connection;
        while ((connection = worker->queues[deadline].first) && connection->deadline <= worker->context->now) {
            if (deadline >= DEADLINE_RESPONSE && look_at_reply(worker, connection)) {
                loop_leave_queue(worker, connection);
                loop_enter_queue(worker, connection);
                continue;
            }
            if (!connection->acknowledged) {
                worker->context->counters->late++;
                connection_log_drop(connection, worker->context, DROP_LATE);
            }
            loop_finish(worker, connection, true);
        }
    }
}

int loop_time_to_wait(const struct worker *worker) {
    uint64_t until = worker->context->now +
                     (loop_is_full(worker) || worker->queues[DEADLINE_WAITING].first ? LOOP_FULL_BEAT : WORKER_BEAT);
    for (enum deadline deadline = 0; deadline < DEADLINE_COUNT; deadline++) {
        const struct connection *first = worker->queues[deadline].first;
        if (first && first->deadline < until)
            until = first->deadline;
    }
    if (worker->paused_until > worker->context->now && worker->paused_until < until)
        until = worker->paused_until;
    return until > worker->context->now ? (int)(until - worker->context->now) : 0;
}

/* ---- events ---- */

void loop_take_signature(void *owner, const uint8_t *signature, size_t size, void *context) {
    struct worker *worker = context;
    loop_apply(worker, owner, connection_sign(owner, worker->context, signature, size), false);
}

/* Something came from a client while its signature is being made: handle it afterwards, unless the client is gone. */
static void look_away(struct worker *worker, struct connection *connection, uint32_t events) {
    struct epoll_event nothing = {.events = 0, .data.ptr = &connection->source};
    if (events & EPOLLHUP) {
        loop_finish(worker, connection, true);
        return;
    }
    epoll_ctl(worker->events, EPOLL_CTL_MOD, connection->socket, &nothing);
    connection->armed = WANT_SIGNATURE;
}

static void handle(struct worker *worker, void *context, uint32_t events) {
    struct connection *connection = context;
    /* A reset, after which nothing can be sent; or a client that did not wait for its place any longer. */
    if (events & EPOLLERR || connection->state == STATE_WAITING) {
        loop_finish(worker, connection, true);
        return;
    }
    if (connection->state == STATE_SIGNATURE) {
        look_away(worker, connection, events);
        return;
    }
    loop_apply(worker, connection, connection_continue(connection, worker->context, events & (EPOLLIN | EPOLLHUP)),
               false);
}
