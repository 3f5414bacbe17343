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

#include "common/bounds.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sandbox.h"

#define EVENTS_AT_ONCE 64
#define ACCEPTS_AT_ONCE 32
#define DESCRIPTORS_APART SANDBOX_SHARED /* listeners, epoll, log, what a library may open */
#define REPLY_RATE_MIN 512               /* bytes in a second; whoever reads more slowly is held to have gone */
#define CREDIT 4                         /* times reply-timeout: how long bytes that a client took ahead count */
#define LOOK 2000                        /* milliseconds between two looks at a reply */
#define SLOW 16384                       /* bytes between two looks; a reply that moves less gives way early */
#define TRIES 3                          /* to take a place that was made for somebody */
#define LINGERING_AT_ONCE 16             /* of those that end, looked at for one that is over */
#define SCAN_MAX 512                     /* connections of each stage that are looked at for one that gives way */
#define PAUSE 250                        /* milliseconds without accepting after the system had no room */
#define IDLE 500                         /* milliseconds in which a handshake of somebody who is there gets on */
#define SPEECHLESS 200                   /* the same for its first message, which follows without being asked for */
#define FULL_BEAT 100                    /* milliseconds between two attempts to accept when all places are taken */

/* Connections in one stage, in the order in which their time runs out: each stage has one duration. */
struct queue {
    struct connection *first, *last;
};

struct worker {
    const struct worker_setup *setup;
    struct worker_context *context;
    struct signing_client *signing_client;
    int events;
    int stops; /* signals to stop, as events: epoll_pwait(2) lets no signal through while there is always an event */
    bool told_to_stop, told_to_hurry;
    size_t open, open_max;
    bool listening; /* epoll watches the listeners */
    uint64_t paused_until, tried_at;
    struct connection *giver; /* who gives way to the next one, where that is known */
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

/* How long until a connection in this stage is looked at, which is its end in most of them. */
static unsigned duration_of(const struct worker *worker, enum stage stage) {
    unsigned duration = worker->setup->deadlines.stage[stage];
    return stage == STAGE_RESPONSE && duration > LOOK ? LOOK : duration;
}

static void queue_enter(struct worker *worker, struct connection *connection) {
    struct queue *queue = &worker->queues[connection->stage];
    connection->queued = connection->stage;
    connection->deadline = worker->context->now + duration_of(worker, connection->stage);
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
    for (size_t i = 0; i < worker->setup->listener_count; i++) {
        /* EXCLUSIVE wakes one worker for a connection, not all of them. */
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE,
                                    .data.ptr = (void *)(uintptr_t)&worker->setup->listeners[i]};
        epoll_ctl(worker->events, EPOLL_CTL_ADD, worker->setup->listeners[i].descriptor, &event);
    }
    worker->listening = true;
}

static void listen_no_more(struct worker *worker) {
    for (size_t i = 0; worker->listening && i < worker->setup->listener_count; i++)
        epoll_ctl(worker->events, EPOLL_CTL_DEL, worker->setup->listeners[i].descriptor, NULL);
    worker->listening = false;
}

/* ---- connections ---- */

static void finish(struct worker *worker, struct connection *connection, bool queued) {
    if (worker->giver == connection)
        worker->giver = NULL;
    if (queued)
        queue_leave(worker, connection);
    connection_end(connection, worker->context);
    worker->open--;
    worker->context->counters->open--;
}

/* Does what a connection wishes. fresh: epoll does not know it yet. */
static void apply(struct worker *worker, struct connection *connection, enum next next, bool fresh) {
    if (next == WANT_CLOSE) {
        finish(worker, connection, !fresh);
        return;
    }
    /* The peer is as a rule silent while its signature is made: what epoll watches need not change for that. */
    enum next watched = next == WANT_SIGNATURE ? WANT_READ : next;
    if (fresh || (connection->armed != watched && next != WANT_SIGNATURE)) {
        struct epoll_event event = {.events = watched == WANT_WRITE ? EPOLLOUT : EPOLLIN, .data.ptr = connection};
        if (watched == WANT_NEWS)
            event.events |= EPOLLOUT | EPOLLET; /* output alone tells of acknowledgements */
        connection->armed = watched;
        if (epoll_ctl(worker->events, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, connection->socket, &event) < 0) {
            finish(worker, connection, !fresh);
            return;
        }
    }
    if (connection->stage >= STAGE_RESPONSE && (fresh || connection->queued < STAGE_RESPONSE))
        connection->due = worker->context->now + worker->setup->deadlines.stage[STAGE_RESPONSE];
    if (fresh) {
        queue_enter(worker, connection);
    } else if (connection->queued != connection->stage) {
        queue_leave(worker, connection);
        queue_enter(worker, connection);
    }
}

/* ---- places ---- */

static bool fixture_is_full(const struct worker *worker) {
    return quota_open(&worker->context->quota) >= worker->setup->connections_max;
}

static bool has_room(const struct worker *worker) {
    return worker->open < worker->open_max && !fixture_is_full(worker);
}

static bool others_have_room(const struct worker *worker) {
    for (size_t i = 0; i < worker->setup->shared_count; i++) {
        const struct worker_shared *shared = &worker->setup->all_shared[i];
        if (shared != worker->setup->shared && shared->room)
            return true;
    }
    return false;
}

/*
 * Who gives way when all places are taken: first those that are through, and those that wait for a place of this
 * machine, then by two things together. One is how a connection behaves: silent for long, a response that hardly moves,
 * a handshake that does not get on, a response that moves well. The other is what part of what they may have its
 * address and prefixes take. A few connections are no fault, so that somebody who loads some pages at once goes after
 * those who do nothing, however many addresses these have.
 *
 * A response in its first seconds, one that moves well, and a handshake that gets on are ended only where one prefix
 * has many connections, in favour of somebody who has far fewer: else a crowd that comes back at once would always be
 * in its first seconds. Where there is nobody of that kind either, those who come wait for their turn: ending all of
 * them in turn would mean that none is answered.
 */
enum giver {
    GIVER_THROUGH,
    GIVER_WAITING,
    GIVER_SILENT,
    GIVER_SLOW,
    GIVER_YOUNG,
    GIVER_QUICK,
    GIVER_ONE_OF_MANY,
    GIVER_NONE
};

#define FEW 2      /* eighths of what a group may have that are no reason to go */
#define MANY 8     /* connections of one prefix that others need not wait for */
#define COMPARED 8 /* so many responses must move well before the slowest of them gives way to its own kind */

static unsigned load_of(const struct worker *worker, const struct connection *connection) {
    return quota_load(&worker->context->quota, &connection->member);
}

static unsigned crowd_of(const struct worker *worker, const struct connection *connection) {
    return quota_crowd(&worker->context->quota, &connection->member);
}

static unsigned weight_of(unsigned load) {
    return load > FEW ? load - FEW : 0;
}

/* Does a handshake go on as that of somebody who is there does? While it waits for its signature, it does. */
static bool gets_on(const struct worker *worker, const struct connection *connection) {
    uint64_t idle = worker->context->now - connection->stirred;
    return connection->signing || idle < (connection->steps == 0 ? SPEECHLESS : IDLE);
}

static enum giver giver_of(const struct worker *worker, const struct connection *connection, unsigned load,
                           unsigned crowd, bool alike) {
    /* Of this machine nobody can tell how many they are. */
    bool is_known = !alike && !connection_is_local(connection);
    enum giver of_many = is_known && crowd >= MANY ? GIVER_ONE_OF_MANY : GIVER_NONE;
    switch (connection->stage) {
    case STAGE_WAITING:
        return GIVER_WAITING;
    case STAGE_HANDSHAKE:
    case STAGE_REQUEST:
        if (worker->context->now - connection->begun >= LOOK)
            return GIVER_SILENT;
        return gets_on(worker, connection) && (alike || weight_of(load) == 0) ? of_many : GIVER_YOUNG;
    case STAGE_LINGER:
        if (connection->acknowledged || connection->sent == 0)
            return GIVER_THROUGH;
        break;
    default:
        break;
    }
    if (!connection->looked_at)
        return of_many;
    if (connection->pace < SLOW)
        return GIVER_SLOW;
    return load > 0 ? GIVER_QUICK : of_many;
}

struct candidate {
    struct connection *connection;
    enum giver giver;
    unsigned reasons; /* to give way */
    unsigned load, crowd;
};

/* alike: it is compared with those of its own group alone. */
static struct candidate consider(const struct worker *worker, struct connection *connection, bool alike) {
    static const unsigned behaves[] = {[GIVER_THROUGH] = 100, [GIVER_WAITING] = 50, [GIVER_SILENT] = 6,
                                       [GIVER_SLOW] = 4,      [GIVER_YOUNG] = 1,    [GIVER_QUICK] = 0};
    unsigned load = load_of(worker, connection), crowd = crowd_of(worker, connection);
    enum giver giver = giver_of(worker, connection, load, crowd, alike);
    unsigned reasons = giver <= GIVER_QUICK ? behaves[giver] + (alike ? 0 : weight_of(load)) : 0;
    return (struct candidate){connection, giver, reasons, load, crowd};
}

/* Does one give way before the other? Of responses the one that moves least, of others who has not got on for longest.
 */
static bool gives_way_before(const struct candidate *one, const struct candidate *other) {
    if (one->reasons != other->reasons)
        return one->reasons > other->reasons;
    if (one->giver != other->giver)
        return one->giver < other->giver;
    if (one->giver == GIVER_ONE_OF_MANY && one->crowd != other->crowd)
        return one->crowd > other->crowd;
    if (one->giver != GIVER_SLOW && one->giver != GIVER_QUICK)
        return one->connection->stirred < other->connection->stirred;
    if (one->load != other->load)
        return one->load > other->load;
    if (one->connection->pace != other->connection->pace)
        return one->connection->pace < other->connection->pace;
    return one->connection->taken < other->connection->taken;
}

/* Finds out which of the oldest lingering connections are over. */
static void look_at_lingering(const struct worker *worker) {
    struct connection *connection = worker->queues[STAGE_LINGER].first;
    for (int i = 0; i < LINGERING_AT_ONCE && connection; i++, connection = connection->later)
        connection_has_all(connection);
}

/* Where a connection of this machine finds none of its places, it may wait for one, if the house has room for that. */
static bool can_wait(const struct worker *worker, const struct connection *newcomer) {
    return connection_is_local(newcomer) && (newcomer->stage == STAGE_WAITING || has_room(worker));
}

/*
 * Who gives way to this newcomer, or, NULL, to whoever comes? .connection is NULL: there is nobody. only_local: of
 * those that have a place of this machine.
 */
static struct candidate find_giver(const struct worker *worker, const struct connection *newcomer, bool only_local) {
    struct candidate best = {.giver = GIVER_NONE};
    /* Those of this machine who get on are not disturbed by one of them who can wait; else somebody would be refused.
     */
    bool alike = only_local && can_wait(worker, newcomer);
    int quick = 0;
    look_at_lingering(worker);
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        struct connection *connection = worker->queues[stage].first;
        for (int i = 0; i < SCAN_MAX && connection; i++, connection = connection->later) {
            struct candidate next = consider(worker, connection, alike);
            if (next.giver == GIVER_NONE || connection == newcomer ||
                (only_local && (connection->stage == STAGE_WAITING || !connection_is_local(connection))))
                continue;
            quick += next.giver == GIVER_QUICK;
            if (!best.connection || gives_way_before(&next, &best))
                best = next;
        }
    }
    if (only_local && best.giver == GIVER_QUICK && quick < COMPARED)
        best.connection = NULL;
    return best;
}

static void displace(struct worker *worker, const struct candidate *giver) {
    if (giver->giver != GIVER_THROUGH) {
        worker->context->counters->displaced++;
        connection_log_drop(giver->connection, worker->context, DROP_DISPLACED);
    }
    finish(worker, giver->connection, true);
}

/* Has a new connection less reason to go than this one? Among connections of this machine that is the case. */
static bool may_displace(const struct worker *worker, const struct connection *newcomer, const struct candidate *giver,
                         bool only_local) {
    if (!giver->connection)
        return false;
    if (only_local)
        return true;
    switch (giver->giver) {
    case GIVER_ONE_OF_MANY:
        return crowd_of(worker, newcomer) * 2 <= giver->crowd;
    case GIVER_QUICK:
        return load_of(worker, newcomer) < giver->load;
    default:
        return weight_of(load_of(worker, newcomer)) <= giver->reasons;
    }
}

/* Ends another connection in favour of a new one, unless the new one has more reason to go. */
static bool make_room(struct worker *worker, const struct connection *newcomer, bool only_local) {
    struct candidate giver = !only_local && worker->giver ? consider(worker, worker->giver, false)
                                                          : find_giver(worker, newcomer, only_local);
    if (!may_displace(worker, newcomer, &giver, only_local))
        return false;
    displace(worker, &giver);
    return true;
}

/* Is there one more than may be? */
static bool is_over(const struct worker *worker) {
    return worker->open > worker->open_max || quota_open(&worker->context->quota) > worker->setup->connections_max;
}

static enum admission admit(struct worker *worker, struct connection *connection) {
    enum admission admission = connection_admit(connection, worker->context);
    /* Another worker may be quicker to take the place that was made. */
    for (int i = 0;
         i < TRIES && admission == NO_PLACE && connection_is_local(connection) && make_room(worker, connection, true);
         i++)
        admission = connection_admit(connection, worker->context);
    return admission == ADMITTED && is_over(worker) && !make_room(worker, connection, false) ? NO_PLACE : admission;
}

/* Lets a connection begin that was admitted, and ends one that was not. */
static void begin(struct worker *worker, struct connection *connection, enum admission admission) {
    if (admission != ADMITTED) {
        connection_refuse(connection, worker->context, admission);
        finish(worker, connection, false);
        return;
    }
    /* The client speaks first, and often has by now: one wake-up less. */
    apply(worker, connection, connection_continue(connection, worker->context, true), true);
}

static void welcome(struct worker *worker, int socket, const struct listener *listener,
                    const struct sockaddr_storage *from) {
    struct client_address address = client_address_of_socket((const struct sockaddr *)from);
    bool proxied = settings_has_port(&worker->setup->settings->proxy_ports, listener->port);
    struct connection *connection = connection_begin(socket, listener->port, &address, proxied, worker->context->now);
    if (!connection) {
        close(socket);
        return;
    }
    worker->open++;
    worker->context->counters->accepted++;
    worker->context->counters->open++;
    enum admission admission = admit(worker, connection);
    if (admission == NO_PLACE && can_wait(worker, connection)) {
        connection_wait(connection, worker->context);
        queue_enter(worker, connection);
        return;
    }
    begin(worker, connection, admission);
}

/* Gives places of this machine to those who wait for one, in the order in which they came. */
static void admit_waiting(struct worker *worker) {
    struct connection *connection;
    while ((connection = worker->queues[STAGE_WAITING].first)) {
        enum admission admission = admit(worker, connection);
        if (admission == NO_PLACE) {
            connection_wait(connection, worker->context);
            return;
        }
        queue_leave(worker, connection);
        begin(worker, connection, admission);
    }
}

/* No room in the system is no reason to spin or to end: look away for a moment, what waits stays in the backlog. */
static void pause_listening(struct worker *worker) {
    if (worker->listening)
        log_line(LOG_LEVEL_WARNING, "cannot accept connections: %s, with %zu open; continues when there is room",
                 strerror(errno), worker->open);
    listen_no_more(worker);
    worker->paused_until = worker->context->now + PAUSE;
}

/*
 * May it take a new connection? Where it has no place, and another worker has, that one is to be woken: nobody gives
 * way then, and this worker must not be among those that the kernel wakes.
 */
static bool can_accept(struct worker *worker) {
    worker->giver = NULL;
    if (has_room(worker))
        return true;
    if (fixture_is_full(worker) || !others_have_room(worker))
        worker->giver = find_giver(worker, NULL, false).connection;
    return worker->giver != NULL;
}

/* May end other connections, so none of this round's events may still wait for being handled. */
static void accept_some(struct worker *worker, const struct listener *listener) {
    for (int i = 0; i < ACCEPTS_AT_ONCE && can_accept(worker); i++) {
        struct sockaddr_storage from = {0};
        socklen_t size = sizeof from;
        int socket = accept4(listener->descriptor, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket >= 0) {
            welcome(worker, socket, listener, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_listening(worker);
        if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
            return;
    }
}

/*
 * The kernel wakes one worker for a connection. If that one could not take it in the end, nobody would be woken again:
 * so each worker that listens tries now and then, and one that can take none leaves the listeners at once.
 */
static void attend_listeners(struct worker *worker, const struct listener *const *waiting, size_t waiting_count) {
    const struct worker_setup *setup = worker->setup;
    uint64_t now = worker->context->now;
    bool due = now - worker->tried_at >= (fixture_is_full(worker) ? FULL_BEAT : WORKER_BEAT);
    for (size_t i = 0; i < waiting_count && worker->listening; i++)
        accept_some(worker, waiting[i]);
    for (size_t i = 0; i < setup->listener_count && worker->listening && due; i++)
        accept_some(worker, &setup->listeners[i]);
    if (due)
        worker->tried_at = now;
    /* A worker that takes none any more still holds places that are wanted. */
    if (due && worker->told_to_stop && fixture_is_full(worker)) {
        struct candidate giver = find_giver(worker, NULL, false);
        if (giver.connection && giver.giver < GIVER_YOUNG)
            displace(worker, &giver);
    }
    bool may = !worker->told_to_stop && now >= worker->paused_until;
    setup->shared->room = may && has_room(worker);
    if (may && can_accept(worker)) {
        if (!worker->listening)
            listen_again(worker);
    } else {
        listen_no_more(worker);
    }
}

/*
 * Looks at a reply whose client may be slow. What it has acknowledged counts, and grants time at the lowest rate that
 * is allowed: a client's kernel takes many bytes at once, and none for long, where the client itself reads few all the
 * time. Returns whether it may go on.
 */
static bool look_at_reply(struct worker *worker, struct connection *connection) {
    uint64_t now = worker->context->now, untaken = connection_untaken(connection);
    uint64_t taken = connection->sent > untaken ? connection->sent - untaken : 0;
    uint64_t more = taken > connection->taken ? taken - connection->taken : 0;
    uint64_t latest = now + (uint64_t)CREDIT * worker->setup->deadlines.stage[STAGE_RESPONSE];
    connection->pace = connection->pace / 2 + (uint32_t)(more < 2ULL * SLOW ? more : 2ULL * SLOW) / 2;
    connection->taken += more;
    connection->looked_at = true;
    connection->due += more * 1000 / REPLY_RATE_MIN;
    connection->due = connection->due < latest ? connection->due : latest;
    quota_weigh(&worker->context->quota, &connection->member);
    return !connection_has_all(connection) && now < connection->due;
}

/* A reply that moves may go on; everything else that is out of time ends. */
static void end_the_late(struct worker *worker) {
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        struct connection *connection;
        while ((connection = worker->queues[stage].first) && connection->deadline <= worker->context->now) {
            if (stage >= STAGE_RESPONSE && look_at_reply(worker, connection)) {
                queue_leave(worker, connection);
                queue_enter(worker, connection);
                continue;
            }
            if (!connection->acknowledged) {
                worker->context->counters->late++;
                connection_log_drop(connection, worker->context, DROP_LATE);
            }
            finish(worker, connection, true);
        }
    }
}

static int time_to_wait(const struct worker *worker) {
    uint64_t until = worker->context->now +
                     (fixture_is_full(worker) || worker->queues[STAGE_WAITING].first ? FULL_BEAT : WORKER_BEAT);
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        const struct connection *first = worker->queues[stage].first;
        if (first && first->deadline < until)
            until = first->deadline;
    }
    if (worker->paused_until > worker->context->now && worker->paused_until < until)
        until = worker->paused_until;
    return until > worker->context->now ? (int)(until - worker->context->now) : 0;
}

static bool is_listener(const struct worker *worker, const void *pointer) {
    const struct listener *first = worker->setup->listeners;
    return (uintptr_t)pointer >= (uintptr_t)first &&
           (uintptr_t)pointer < (uintptr_t)(first + worker->setup->listener_count);
}

/* An answer of the key process. */
static void signed_for(void *owner, const uint8_t *signature, size_t size, void *context) {
    struct worker *worker = context;
    apply(worker, owner, connection_sign(owner, worker->context, signature, size), false);
}

/* Something came from a peer while its signature is being made: it is looked at afterwards, unless the peer is gone. */
static void look_away(struct worker *worker, struct connection *connection, uint32_t events) {
    struct epoll_event nothing = {.events = 0, .data.ptr = connection};
    if (events & EPOLLHUP) {
        finish(worker, connection, true);
        return;
    }
    epoll_ctl(worker->events, EPOLL_CTL_MOD, connection->socket, &nothing);
    connection->armed = WANT_SIGNATURE;
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
    apply(worker, connection, connection_continue(connection, worker->context, event->events & (EPOLLIN | EPOLLHUP)),
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
static void leave_key_process(struct worker *worker) {
    worker->told_to_stop = worker->told_to_hurry = true;
    epoll_ctl(worker->events, EPOLL_CTL_DEL, worker->setup->channel, NULL);
}

static void run(struct worker *worker) {
    struct worker_context *context = worker->context;
    struct epoll_event events[EVENTS_AT_ONCE];
    uint64_t give_up = 0;

    while (!worker->told_to_stop || (worker->open > 0 && (!give_up || context->now < give_up))) {
        int count = epoll_wait(worker->events, events, EVENTS_AT_ONCE, time_to_wait(worker));
        context->now = clock_milliseconds();
        worker->setup->shared->beats++;
        const struct listener *waiting[LISTENERS_MAX];
        size_t waiting_count = 0;
        bool answers = false;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == worker->signing_client)
                answers = true;
            else if (events[i].data.ptr == &worker->stops)
                read_signals(worker);
            else if (is_listener(worker, events[i].data.ptr))
                waiting[waiting_count++] = events[i].data.ptr;
            else
                handle(worker, &events[i]);
        }
        /* Last, because it may end connections that have an event of their own in this round. */
        if (answers && !signing_client_receive(worker->signing_client, signed_for, worker))
            leave_key_process(worker);
        end_the_late(worker);
        admit_waiting(worker);
        attend_listeners(worker, waiting, waiting_count);
        signing_client_send(worker->signing_client);
        drop_log_settle(&context->remarks, context->now);
        if (worker->told_to_stop)
            worker->setup->shared->ready = 0;
        if (worker->told_to_hurry && !give_up)
            give_up = context->now + worker->setup->deadlines.shutdown_grace;
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

/*
 * Numbers below SANDBOX_SHARED are for what is there now, listeners among it: the sandbox knows by the number what may
 * be changed. Copies of a descriptor that nobody needs fill them up.
 */
static bool keep_low_numbers(int descriptor) {
    int number;
    do
        number = dup(descriptor);
    while (number >= 0 && number < SANDBOX_SHARED);
    if (number >= 0)
        close(number);
    return number >= 0;
}

/* Every connection may need its socket and a file. As many descriptors as that takes are asked for. */
static size_t connections_at_most(const struct worker_setup *setup) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)setup->connections_max * 2 + DESCRIPTORS_APART;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return setup->connections_max;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur == RLIM_INFINITY)
        return setup->connections_max;
    size_t most = limit.rlim_cur > DESCRIPTORS_APART + 2 ? (size_t)(limit.rlim_cur - DESCRIPTORS_APART) / 2 : 1;
    return most < setup->connections_max ? most : setup->connections_max;
}

static bool give_up_power(const struct worker_setup *setup) {
    int result = sandbox_enter(SANDBOX_WORKER, setup->capsules->folder);
    if (result < 0)
        log_line(LOG_LEVEL_ERROR, "a worker cannot enter its sandbox: %s", strerror(-result));
    return result == 0;
}

int worker_serve(const struct worker_setup *setup) {
    struct worker worker = {.setup = setup, .events = -1, .stops = -1, .open_max = connections_at_most(setup)};
    int status = 1;

    worker.context = calloc(1, sizeof *worker.context);
    worker.signing_client = malloc(sizeof *worker.signing_client);
    if (!worker.context || !worker.signing_client)
        goto end;
    signing_client_open(worker.signing_client, setup->channel);
    worker.context->capsules = setup->capsules;
    worker.context->settings = setup->settings;
    worker.context->hash_key = setup->hash_key;
    worker.context->quota = (struct quota){
        .first = &setup->all_shared->quota,
        .count = setup->shared_count,
        .stride = sizeof *setup->all_shared,
        .own = &setup->shared->quota,
        .rates_max = {[QUOTA_HANDSHAKES] = setup->settings->max_handshakes_per_minute,
                      [QUOTA_REQUESTS] = setup->settings->max_requests_per_minute},
    };
    worker.context->counters = &setup->shared->counters;
    worker.context->now = clock_milliseconds();
    worker.context->tls = tls_open(setup->certificates, setup->fallback, setup->settings->min_tls == SETTINGS_TLS_1_3,
                                   &worker.context->channel, worker.signing_client);
    worker.events = epoll_create1(EPOLL_CLOEXEC);
    worker.stops = open_stops();
    if (!worker.context->tls || worker.events < 0 || worker.stops < 0 ||
        !watch(&worker, setup->channel, worker.signing_client) || !watch(&worker, worker.stops, &worker.stops))
        goto end;
    if (!keep_low_numbers(worker.stops))
        goto end;
    listen_again(&worker);
    /* Before the first byte from outside. */
    if (!give_up_power(setup))
        goto end;
    setup->shared->ready = 1;
    run(&worker);
    status = 0;
end:
    if (worker.events >= 0)
        close(worker.events);
    if (worker.stops >= 0)
        close(worker.stops);
    if (worker.context)
        tls_close(worker.context->tls);
    free(worker.context);
    free(worker.signing_client);
    return status;
}
