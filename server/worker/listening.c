/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "listening.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admission.h"
#include "common/log.h"

#define ACCEPTS_WHEN_DUE 32
#define ACCEPTS_AT_THE_END 1024
#define PAUSE 250 /* milliseconds without accepting after the system ran out of descriptors or memory */

/* Accepting may end connections that have an event of their own in this round. */
static void note_ready(struct worker *worker, void *context, uint32_t events) {
    (void)events;
    worker->ready[worker->ready_count++] = context;
}

void listening_begin(struct worker *worker) {
    for (size_t i = 0; i < worker->setup->listener_count; i++) {
        struct event_source *source = &worker->listener_sources[i];
        *source = (struct event_source){note_ready, (void *)(uintptr_t)&worker->setup->listeners[i]};
        /* EXCLUSIVE wakes one worker for a connection, not all of them. */
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = source};
        epoll_ctl(worker->events, EPOLL_CTL_ADD, worker->setup->listeners[i].descriptor, &event);
    }
    worker->listening = true;
}

static void stop_listening(struct worker *worker) {
    for (size_t i = 0; worker->listening && i < worker->setup->listener_count; i++)
        epoll_ctl(worker->events, EPOLL_CTL_DEL, worker->setup->listeners[i].descriptor, NULL);
    worker->listening = false;
}

/*
 * A worker that was told to stop needs its listeners no more. Once the last process has closed a socket, the kernel
 * refuses newcomers at once; they would wait in vain otherwise. A service manager still holds its own.
 */
static void let_go(struct worker *worker) {
    stop_listening(worker);
    for (size_t i = 0; i < worker->setup->listener_count; i++)
        close(worker->setup->listeners[i].descriptor);
    worker->has_let_go = true;
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
    admission_receive(worker, connection);
}

/*
 * If the system has no room, do not spin or exit: stop watching for a moment; waiting connections stay in the backlog.
 */
static void pause_listening(struct worker *worker) {
    if (worker->listening)
        log_line(LOG_LEVEL_WARNING, "cannot accept connections: %s, with %zu open; continues when there is room",
                 strerror(errno), worker->open);
    stop_listening(worker);
    worker->paused_until = worker->context->now + PAUSE;
}

/*
 * Accepts up to that many connections. May end other connections, so call it after all other events of this round.
 */
static void accept_some(struct worker *worker, const struct listener *listener, int most) {
    for (int i = 0; i < most && admission_can_accept(worker); i++) {
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
 * A worker that was woken accepts one connection: mostly there is no other, and asking for it would be a system call
 * for nothing. If there is one, epoll says so in the next round, after the connections that this worker has already.
 *
 * The kernel wakes one worker for a connection. If that worker cannot accept it after all, no other is woken. So each
 * listening worker tries now and then, and one that can accept none stops watching the listeners at once.
 */
void listening_attend(struct worker *worker) {
    const struct worker_setup *setup = worker->setup;
    uint64_t now = worker->context->now;
    /* Whoever the kernel has connected already is served, and not reset. */
    for (size_t i = 0; i < setup->listener_count && worker->listening && worker->told_to_hurry; i++)
        accept_some(worker, &setup->listeners[i], ACCEPTS_AT_THE_END);
    if (worker->told_to_stop && !worker->has_let_go)
        let_go(worker);
    bool due = now - worker->tried_at >= (loop_is_full(worker) ? LOOP_FULL_BEAT : WORKER_BEAT);
    for (size_t i = 0; i < worker->ready_count && worker->listening; i++)
        accept_some(worker, worker->ready[i], 1);
    worker->ready_count = 0;
    for (size_t i = 0; i < setup->listener_count && worker->listening && due; i++)
        accept_some(worker, &setup->listeners[i], ACCEPTS_WHEN_DUE);
    if (due)
        worker->tried_at = now;
    /* A worker that accepts no more connections still holds places that others need. */
    if (due && worker->told_to_stop && loop_is_full(worker))
        admission_make_way(worker);
    bool may = !worker->told_to_stop && now >= worker->paused_until;
    setup->shared->room = may && admission_has_room(worker);
    if (may && admission_can_accept(worker)) {
        if (!worker->listening)
            listening_begin(worker);
    } else {
        stop_listening(worker);
    }
}
