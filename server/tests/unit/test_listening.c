/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a worker accepts. */
#include <criterion/criterion.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define listening_begin test_listening_begin
#define listening_attend test_listening_attend
#include "worker/listening.c"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "logged.h"
#include "worker_fixture.h"

TestSuite(listening, .init = prepare, .fini = clean, .timeout = 60);

static struct sockaddr_un name;
static socklen_t name_size;

static void open_listener(void) {
    name = (struct sockaddr_un){.sun_family = AF_UNIX};
    listeners[0] = (struct listener){socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 1965};
    cr_assert_eq(bind(listeners[0].descriptor, (struct sockaddr *)&name, sizeof name.sun_family), 0);
    cr_assert_eq(listen(listeners[0].descriptor, 100), 0);
    name_size = sizeof name;
    cr_assert_eq(getsockname(listeners[0].descriptor, (struct sockaddr *)&name, &name_size), 0);
}

static int visit(void) {
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&name, name_size), 0);
    return client;
}

Test(listening, some_are_accepted_at_once_and_the_others_later) {
    int clients[32 + 2];
    settings.max_connections_per_address = 100; /* they have no address, so all count as one client */
    open_listener();
    for (size_t i = 0; i < COUNT(clients); i++)
        clients[i] = visit();
    accept_some(&worker, &listeners[0], 32);
    cr_expect_eq(worker.open, 32);
    cr_expect_eq(context.counters->open, 32);
    cr_expect_eq(context.counters->accepted, 32);
    accept_some(&worker, &listeners[0], 32);
    cr_expect_eq(worker.open, COUNT(clients));
    cr_expect(worker.queues[DEADLINE_HANDSHAKE].first->port == 1965 &&
              worker.queues[DEADLINE_HANDSHAKE].first->state == STATE_HELLO);
    for (size_t i = 0; i < COUNT(clients); i++)
        close(clients[i]);
    close(listeners[0].descriptor);
}

Test(listening, listening_begins_and_ends) {
    open_listener();
    listening_begin(&worker);
    cr_expect(worker.listening);
    int client = visit();
    cr_expect(epoll_has(EPOLLIN, &worker.listener_sources[0]));
    stop_listening(&worker);
    cr_expect_not(worker.listening);
    cr_expect_not(epoll_has(EPOLLIN, &worker.listener_sources[0]));
    close(client), close(listeners[0].descriptor);
}

Test(listening, no_room_in_the_system_is_a_pause) {
    struct rlimit limit, less;
    open_listener();
    listening_begin(&worker);
    int client = visit(), next = dup(client);
    close(next);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    less = (struct rlimit){(rlim_t)next, limit.rlim_max};
    logged_begin();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
    accept_some(&worker, &listeners[0], 32);
    bool listened = worker.listening;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const char *text = logged_end();
    cr_expect_not(listened);
    cr_expect_eq(logged_count(text, "cannot accept connections: "), 1, "%s", text);
    cr_expect_not_null(strstr(text, "with 0 open"));
    logged_begin();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
    accept_some(&worker, &listeners[0], 32);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect_str_eq(logged_end(), "", "it is told once");
    cr_expect_eq(worker.paused_until, NOW + 250);
    cr_expect_eq(worker.open, 0);
    context.now = NOW + 250 - 1;
    listening_attend(&worker);
    cr_expect_not(worker.listening);
    cr_expect_eq(all_shared[0].room, 0);
    context.now = NOW + 250;
    listening_attend(&worker);
    cr_expect(worker.listening);
    cr_expect_eq(all_shared[0].room, 1);
    context.now += WORKER_BEAT;
    listening_attend(&worker);
    cr_expect_eq(worker.open, 1, "who waited for that is taken");
    close(client), close(listeners[0].descriptor);
}

/* Reports an event for the listener. */
static void wake(void) {
    note_ready(&worker, &listeners[0], EPOLLIN);
}

/*
 * It accepts one connection and does not try for a second, which usually does not exist; if it does, epoll reports it.
 */
Test(listening, woken_it_accepts_one) {
    open_listener();
    listening_begin(&worker);
    worker.tried_at = NOW;
    int clients[3] = {visit(), visit(), visit()};
    for (size_t i = 0; i < COUNT(clients); i++) {
        cr_expect(epoll_has(EPOLLIN, &worker.listener_sources[0]), "round %zu", i);
        wake();
        listening_attend(&worker);
        cr_expect_eq(worker.open, i + 1, "round %zu: %zu", i, worker.open);
        cr_expect(worker.listening);
    }
    cr_expect_not(epoll_has(EPOLLIN, &worker.listener_sources[0]));
    for (size_t i = 0; i < COUNT(clients); i++)
        close(clients[i]);
    close(listeners[0].descriptor);
}

/* A worker that listens tries to accept at intervals, whether it was woken or not. */
Test(listening, nobody_waits_for_an_event_that_another_worker_had) {
    open_listener();
    int clients[4];
    worker.tried_at = NOW;
    clients[0] = visit();
    wake();
    listening_attend(&worker);
    cr_expect_eq(worker.open, 0, "it did not listen");
    cr_expect(worker.listening);
    wake();
    listening_attend(&worker);
    cr_expect_eq(worker.open, 1);
    clients[1] = visit();
    context.now = NOW + WORKER_BEAT - 1;
    listening_attend(&worker);
    cr_expect_eq(worker.open, 1);
    context.now = NOW + WORKER_BEAT;
    listening_attend(&worker);
    cr_expect_eq(worker.open, 2);
    cr_expect_eq(worker.tried_at, NOW + WORKER_BEAT);
    worker.queues[DEADLINE_HANDSHAKE].first->stirred = context.now;
    settings.max_connections = 2; /* if the limit of connections is reached, it tries more often */
    clients[2] = visit();
    listening_attend(&worker);
    cr_expect(worker.listening == false, "all of them get on");
    cr_expect_eq(all_shared[0].room, 0);
    worker.queues[DEADLINE_HANDSHAKE].first->begun -= 2000;
    listening_attend(&worker);
    cr_expect(worker.listening, "one would give way");
    cr_expect_eq(all_shared[0].room, 0);
    context.now += 100 - 1;
    listening_attend(&worker);
    cr_expect_eq(context.counters->displaced, 0);
    context.now++;
    listening_attend(&worker);
    cr_expect_eq(context.counters->displaced, 1);
    cr_expect_eq(worker.open, 2);
    /* A worker that is to stop accepts nobody, but still ends connections at their deadlines. */
    worker.told_to_stop = true;
    worker.queues[DEADLINE_HANDSHAKE].first->begun -= 2000;
    clients[3] = visit();
    listening_attend(&worker);
    cr_expect_not(worker.listening);
    cr_expect_eq(worker.open, 2);
    context.now += 100;
    listening_attend(&worker);
    cr_expect_eq(worker.open, 1);
    cr_expect_eq(context.counters->displaced, 2);
    context.now += WORKER_BEAT;
    worker.queues[DEADLINE_HANDSHAKE].first->begun -= 2000;
    listening_attend(&worker);
    cr_expect_eq(worker.open, 1, "there is room now");
    for (size_t i = 0; i < COUNT(clients); i++)
        close(clients[i]);
    close(listeners[0].descriptor);
    settings.max_connections = 100;
}

/* A connection from this machine waits if it can; otherwise another one is closed. */
Test(listening, who_comes_from_this_machine) {
    struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_storage stored = {0};
    int pairs[3][2];
    memcpy(&stored, &from, sizeof from);
    listeners[0] = (struct listener){-1, 1966};
    settings.max_connections_from_loopback = 1;
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i]), 0);
        worker.open_max = i < 2 ? 100 : worker.open;
        welcome(&worker, pairs[i][1], &listeners[0], &stored);
    }
    const struct connection *first = worker.queues[DEADLINE_HANDSHAKE].first,
                            *second = worker.queues[DEADLINE_WAITING].first;
    cr_assert(first && second);
    cr_expect_eq(first->socket, pairs[2][1]);
    cr_expect_eq(first->port, 1966);
    cr_expect_eq(second->socket, pairs[1][1]);
    EXPECT_QUEUE(DEADLINE_HANDSHAKE, first);
    EXPECT_QUEUE(DEADLINE_WAITING, second);
    cr_expect_eq(second->state, STATE_WAITING);
    cr_expect_eq(worker.open, 2);
    cr_expect_eq(context.counters->accepted, 3);
    cr_expect_eq(context.counters->displaced, 1);
    cr_expect_eq(quota_open(&context.quota), 2);
    settings.proxy_ports = (struct settings_ports){.count = 1, .ports = {1966}};
    worker.open_max = 100;
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    welcome(&worker, pair[1], &listeners[0], &stored);
    cr_assert_neq(worker.queues[DEADLINE_HANDSHAKE].last, first);
    cr_expect_eq(worker.queues[DEADLINE_HANDSHAKE].last->state, STATE_PROXY_HEADER);
    close(pair[0]);
    for (size_t i = 0; i < 3; i++)
        close(pairs[i][0]);
}
