/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "sandbox.h"

#define EVENTS_AT_ONCE 64
#define ACCEPTS_AT_ONCE 32
#define DESCRIPTORS_APART 32 /* listeners, epoll, log, what a library may open */
#define REPLY_RATE_MIN 512   /* bytes in a second; whoever reads more slowly is held to have gone */
#define PAUSE 250            /* milliseconds without accepting after the system had no room */

/* Connections in one stage, in the order in which their time runs out: each stage has one duration. */
struct queue {
    struct connection *first, *last;
};

struct worker {
    const struct worker_orders *orders;
    struct workbench *bench;
    struct desk *desk;
    int events;
    int stops; /* signals to stop, as events: epoll_pwait(2) lets no signal through while there is always an event */
    bool told_to_stop, told_to_hurry;
    size_t open, open_max;
    bool listening; /* epoll watches the listeners */
    uint64_t paused_until;
    struct queue queues[STAGE_COUNT];
};

/* ---- deadlines ---- */

static void queue_leave(struct worker *worker, struct connection *connection) {
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

static void queue_enter(struct worker *worker, struct connection *connection) {
    struct queue *queue = &worker->queues[connection->stage];
    connection->queued = connection->stage;
    connection->deadline = worker->bench->now + worker->orders->deadlines.stage[connection->stage];
    connection->moved_before = connection->moved;
    connection->later = NULL;
    connection->earlier = queue->last;
    if (queue->last)
        queue->last->later = connection;
    else
        queue->first = connection;
    queue->last = connection;
}

/* ---- listeners ---- */

static void listen_again(struct worker *worker) {
    for (size_t i = 0; i < worker->orders->listener_count; i++) {
        /* EXCLUSIVE wakes one worker for a connection, not all of them. */
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE,
                                    .data.ptr = (void *)(uintptr_t)&worker->orders->listeners[i]};
        epoll_ctl(worker->events, EPOLL_CTL_ADD, worker->orders->listeners[i].descriptor, &event);
    }
    worker->listening = true;
}

static void listen_no_more(struct worker *worker) {
    for (size_t i = 0; worker->listening && i < worker->orders->listener_count; i++)
        epoll_ctl(worker->events, EPOLL_CTL_DEL, worker->orders->listeners[i].descriptor, NULL);
    worker->listening = false;
}

/* ---- connections ---- */

static void finish(struct worker *worker, struct connection *connection, bool queued) {
    if (queued)
        queue_leave(worker, connection);
    connection_end(connection, worker->bench);
    worker->open--;
    worker->bench->tally->open--;
}

/* Does what a connection wishes. fresh: epoll does not know it yet. */
static void obey(struct worker *worker, struct connection *connection, enum wish wish, bool fresh) {
    if (wish == WISH_END) {
        finish(worker, connection, !fresh);
        return;
    }
    /* The peer is as a rule silent while its signature is made: what epoll watches need not change for that. */
    enum wish watched = wish == WISH_SIGNATURE ? WISH_INPUT : wish;
    if (fresh || (connection->armed != watched && wish != WISH_SIGNATURE)) {
        struct epoll_event event = {.events = watched == WISH_INPUT ? EPOLLIN : EPOLLOUT, .data.ptr = connection};
        connection->armed = watched;
        if (epoll_ctl(worker->events, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, connection->socket, &event) < 0) {
            finish(worker, connection, !fresh);
            return;
        }
    }
    if (fresh) {
        queue_enter(worker, connection);
    } else if (connection->queued != connection->stage) {
        queue_leave(worker, connection);
        queue_enter(worker, connection);
    }
}

static void welcome(struct worker *worker, int socket, const struct listener *listener,
                    const struct sockaddr_storage *from) {
    struct address address = address_of_socket((const struct sockaddr *)from);
    bool proxied = settings_has_port(&worker->orders->settings->proxy_ports, listener->port);
    struct connection *connection = connection_begin(socket, listener->port, &address, proxied, worker->bench->now);
    if (!connection) {
        close(socket);
        return;
    }
    worker->open++;
    worker->bench->tally->accepted++;
    worker->bench->tally->open++;
    if (!proxied && !connection_admit(connection, worker->bench)) {
        finish(worker, connection, false);
        return;
    }
    /* The visitor speaks first, and often has by now: one wake-up less. */
    obey(worker, connection, connection_continue(connection, worker->bench, true), true);
}

/* No room in the system is no reason to spin or to end: look away for a moment, what waits stays in the backlog. */
static void pause_listening(struct worker *worker) {
    if (worker->listening)
        log_line(LOG_LEVEL_WARNING, "accept: %s, with %zu connections open; goes on when there is room",
                 strerror(errno), worker->open);
    listen_no_more(worker);
    worker->paused_until = worker->bench->now + PAUSE;
}

/*
 * Who gives way when the worker is full: whoever came first of those who have not asked for anything, so that a crowd
 * of silent ones keeps nobody out. How far they came does not count: else whoever is in the midst of a handshake would
 * have to go before a crowd that is through with it. Whose request is being answered stays. NULL: there is nobody.
 */
static struct connection *find_idle(const struct worker *worker) {
    struct connection *shaking = worker->queues[STAGE_HANDSHAKE].first;
    struct connection *silent = worker->queues[STAGE_REQUEST].first;
    if (worker->queues[STAGE_FAREWELL].first)
        return worker->queues[STAGE_FAREWELL].first;
    return !shaking || (silent && silent->begun <= shaking->begun) ? silent : shaking;
}

static void make_room(struct worker *worker) {
    struct connection *idle = find_idle(worker);
    if (idle->stage != STAGE_FAREWELL) {
        worker->bench->tally->displaced++;
        connection_remark(idle, worker->bench, REMARK_DISPLACED);
    }
    finish(worker, idle, true);
}

/* May end other connections, so none of this round's events may still wait for being handled. */
static void accept_some(struct worker *worker, const struct listener *listener) {
    for (int i = 0; i < ACCEPTS_AT_ONCE && (worker->open < worker->open_max || find_idle(worker)); i++) {
        struct sockaddr_storage from = {0};
        socklen_t size = sizeof from;
        int socket = accept4(listener->descriptor, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket >= 0) {
            if (worker->open >= worker->open_max)
                make_room(worker);
            welcome(worker, socket, listener, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_listening(worker);
        if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
            return;
    }
    if (worker->open >= worker->open_max && !find_idle(worker))
        listen_no_more(worker);
}

/* A reply that moves may go on; everything else that is out of time ends. */
static void end_the_late(struct worker *worker) {
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        struct connection *connection;
        while ((connection = worker->queues[stage].first) && connection->deadline <= worker->bench->now) {
            uint64_t enough = (uint64_t)REPLY_RATE_MIN * worker->orders->deadlines.stage[stage] / 1000;
            if (stage == STAGE_REPLY && connection->moved - connection->moved_before >= enough) {
                queue_leave(worker, connection);
                queue_enter(worker, connection);
                continue;
            }
            if (stage != STAGE_FAREWELL) {
                worker->bench->tally->late++;
                connection_remark(connection, worker->bench, REMARK_LATE);
            }
            finish(worker, connection, true);
        }
    }
}

static int time_to_wait(const struct worker *worker) {
    uint64_t until = worker->bench->now + WORKER_BEAT;
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        const struct connection *first = worker->queues[stage].first;
        if (first && first->deadline < until)
            until = first->deadline;
    }
    if (worker->paused_until > worker->bench->now && worker->paused_until < until)
        until = worker->paused_until;
    return until > worker->bench->now ? (int)(until - worker->bench->now) : 0;
}

static bool is_listener(const struct worker *worker, const void *pointer) {
    const struct listener *first = worker->orders->listeners;
    return (uintptr_t)pointer >= (uintptr_t)first &&
           (uintptr_t)pointer < (uintptr_t)(first + worker->orders->listener_count);
}

/* An answer of the key process. */
static void signed_for(void *owner, const uint8_t *signature, size_t size, void *context) {
    struct worker *worker = context;
    obey(worker, owner, connection_sign(owner, worker->bench, signature, size), false);
}

/* Something came from a peer while its signature is being made: it is looked at afterwards, unless the peer is gone. */
static void look_away(struct worker *worker, struct connection *connection, uint32_t events) {
    struct epoll_event nothing = {.events = 0, .data.ptr = connection};
    if (events & EPOLLHUP) {
        finish(worker, connection, true);
        return;
    }
    epoll_ctl(worker->events, EPOLL_CTL_MOD, connection->socket, &nothing);
    connection->armed = WISH_SIGNATURE;
}

static void handle(struct worker *worker, const struct epoll_event *event) {
    struct connection *connection = event->data.ptr;
    if (event->events & EPOLLERR) { /* a reset: nothing can be sent any more */
        finish(worker, connection, true);
        return;
    }
    if (connection->signing) {
        look_away(worker, connection, event->events);
        return;
    }
    obey(worker, connection, connection_continue(connection, worker->bench, event->events & (EPOLLIN | EPOLLHUP)),
         false);
}

static void read_signals(struct worker *worker) {
    struct signalfd_siginfo signal;
    while (read(worker->stops, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        worker->told_to_stop = true;
        worker->told_to_hurry |= signal.ssi_signo == SIGTERM;
    }
}

/* The key process has left: no answer comes by this channel any more, but a new worker gets a new one. */
static void leave_desk(struct worker *worker) {
    worker->told_to_stop = worker->told_to_hurry = true;
    epoll_ctl(worker->events, EPOLL_CTL_DEL, worker->orders->channel, NULL);
}

static void run(struct worker *worker) {
    struct workbench *bench = worker->bench;
    struct epoll_event events[EVENTS_AT_ONCE];
    uint64_t give_up = 0;

    while (!worker->told_to_stop || (worker->open > 0 && (!give_up || bench->now < give_up))) {
        int count = epoll_wait(worker->events, events, EVENTS_AT_ONCE, time_to_wait(worker));
        bench->now = clock_milliseconds();
        worker->orders->board->beats++;
        const struct listener *waiting[LISTENERS_MAX];
        size_t waiting_count = 0;
        bool answers = false;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == worker->desk)
                answers = true;
            else if (events[i].data.ptr == &worker->stops)
                read_signals(worker);
            else if (is_listener(worker, events[i].data.ptr))
                waiting[waiting_count++] = events[i].data.ptr;
            else
                handle(worker, &events[i]);
        }
        /* Last, because it may end connections that have an event of their own in this round. */
        if (answers && !desk_receive(worker->desk, signed_for, worker))
            leave_desk(worker);
        for (size_t i = 0; i < waiting_count && worker->listening; i++)
            accept_some(worker, waiting[i]);
        desk_send(worker->desk);
        end_the_late(worker);
        remarks_settle(&bench->remarks, bench->now);
        if (worker->told_to_stop) {
            listen_no_more(worker);
            worker->orders->board->ready = 0;
        }
        if (worker->told_to_hurry && !give_up)
            give_up = bench->now + worker->orders->deadlines.goodbye;
        if (!worker->listening && !worker->told_to_stop && bench->now >= worker->paused_until &&
            worker->open < worker->open_max)
            listen_again(worker);
    }
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        while (worker->queues[stage].first)
            finish(worker, worker->queues[stage].first, true);
    }
}

static bool watch(struct worker *worker, int descriptor, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    return epoll_ctl(worker->events, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

static int open_stops(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Every connection may need its socket and a file. As many descriptors as that takes are asked for. */
static size_t connections_at_most(const struct worker_orders *orders) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)orders->connections_max * 2 + DESCRIPTORS_APART;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return orders->connections_max;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur == RLIM_INFINITY)
        return orders->connections_max;
    size_t most = limit.rlim_cur > DESCRIPTORS_APART + 2 ? (size_t)(limit.rlim_cur - DESCRIPTORS_APART) / 2 : 1;
    return most < orders->connections_max ? most : orders->connections_max;
}

static bool give_up_power(const struct worker_orders *orders) {
    int result = sandbox_enter(SANDBOX_WORKER, orders->capsules->folder);
    if (result < 0)
        log_line(LOG_LEVEL_ERROR, "a worker cannot enter its sandbox: %s", strerror(-result));
    return result == 0;
}

int worker_serve(const struct worker_orders *orders) {
    struct worker worker = {.orders = orders, .events = -1, .stops = -1, .open_max = connections_at_most(orders)};
    int status = 1;

    worker.bench = calloc(1, sizeof *worker.bench);
    worker.desk = malloc(sizeof *worker.desk);
    if (!worker.bench || !worker.desk)
        goto end;
    desk_open(worker.desk, orders->channel);
    worker.bench->capsules = orders->capsules;
    worker.bench->settings = orders->settings;
    worker.bench->hash_key = orders->hash_key;
    worker.bench->quota = (struct quota){
        .first = &orders->boards->quota,
        .count = orders->board_count,
        .stride = sizeof *orders->boards,
        .own = &orders->board->quota,
        .connections_max = orders->settings->max_connections_per_address,
        .requests_max = orders->settings->max_requests_per_minute,
    };
    worker.bench->tally = &orders->board->tally;
    worker.bench->now = clock_milliseconds();
    worker.bench->tls = tls_open(orders->certificates, orders->fallback, orders->settings->min_tls == SETTINGS_TLS_1_3,
                                 &worker.bench->channel, worker.desk);
    worker.events = epoll_create1(EPOLL_CLOEXEC);
    worker.stops = open_stops();
    if (!worker.bench->tls || worker.events < 0 || worker.stops < 0 || !watch(&worker, orders->channel, worker.desk) ||
        !watch(&worker, worker.stops, &worker.stops))
        goto end;
    listen_again(&worker);
    /* Before the first byte from outside. */
    if (!give_up_power(orders))
        goto end;
    orders->board->ready = 1;
    run(&worker);
    status = 0;
end:
    if (worker.events >= 0)
        close(worker.events);
    if (worker.stops >= 0)
        close(worker.stops);
    if (worker.bench)
        tls_close(worker.bench->tls);
    free(worker.bench);
    free(worker.desk);
    return status;
}
