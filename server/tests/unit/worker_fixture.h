/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A worker without its event loop, whose connections a test sets up. For tests of a worker's parts. */

#include <criterion/criterion.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/loop.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW 1000000

static struct worker_shared all_shared[2];
static struct settings settings;
static struct listener listeners[2];
static struct worker_setup setup = {
    .listeners = listeners,
    .listener_count = 1,
    .settings = &settings,
    .channel = -1,
    .shared = &all_shared[0],
    .all_shared = all_shared,
    .shared_count = 2,
    .hash_key = (const uint8_t *)"a key that all workers have alike",
    .probe = (const uint8_t[PROBE_ADDRESS_SIZE]){0},
    .deadlines = {.of = {[DEADLINE_WAITING] = 1000,
                         [DEADLINE_HANDSHAKE] = 3000,
                         [DEADLINE_REQUEST] = 4000,
                         [DEADLINE_RESPONSE] = 20000,
                         [DEADLINE_LINGER] = 1500},
                  .shutdown_grace = 50},
};
static struct worker_context context;
static struct signing_client signing_client;
static struct worker worker;

static inline void prepare(void) {
    settings_default(&settings);
    settings.max_connections = 100;
    log_limit(LOG_LEVEL_WARNING);
    context = (struct worker_context){
        .settings = &settings, .counters = &all_shared[0].counters, .hash_key = setup.hash_key, .now = NOW};
    context.quota = (struct quota){
        .first = &all_shared->quota, .count = 2, .stride = sizeof *all_shared, .own = &all_shared->quota};
    worker = (struct worker){
        .setup = &setup, .context = &context, .signing_client = &signing_client, .open_max = 100, .stops = -1};
    worker.events = epoll_create1(EPOLL_CLOEXEC);
    cr_assert_geq(worker.events, 0);
}

static inline void clean(void) {
    for (enum deadline deadline = 0; deadline < DEADLINE_COUNT; deadline++) {
        while (worker.queues[deadline].first)
            loop_finish(&worker, worker.queues[deadline].first, true);
    }
    close(worker.events);
}

/* Makes an open connection that is in no queue. Each has another address, unless it is local. */
static inline struct connection *open_one(int socket, bool local) {
    static uint8_t number;
    struct client_address from = {{0x20, 1, 0xd, 0xb8, ++number}};
    if (local)
        from = (struct client_address){{[15] = 1}};
    struct connection *connection = connection_begin(socket, 1965, &from, false, context.now);
    cr_assert_not_null(connection);
    worker.open++;
    context.counters->open++;
    return connection;
}

/*
 * Makes a connection that the quota accepted, whose client may have `most`, and that is in the queue of its deadline.
 */
static inline struct connection *queue_one(enum state state, uint32_t most, bool local) {
    static uint64_t number;
    struct connection *connection = open_one(-1, local);
    connection->member =
        (struct quota_member){.count = 1, .groups = {{++number * UINT64_C(0x9e3779b97f4a7c15), most, QUOTA_SLOTS, 1}}};
    cr_assert(quota_enter(&context.quota, &connection->member));
    connection->state = state;
    loop_enter_queue(&worker, connection);
    return connection;
}

static inline struct connection *silent(uint32_t most, uint64_t stirred, bool local) {
    struct connection *connection = queue_one(STATE_HANDSHAKE, most, local);
    connection->begun = context.now - 2000;
    connection->stirred = stirred;
    return connection;
}

static inline void expect_queue(enum deadline deadline, const struct connection *const expected[], size_t count) {
    const struct connection *at = worker.queues[deadline].first, *before = NULL;
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(at, expected[i], "place %zu", i);
        cr_expect_eq(at->earlier, before);
        before = at;
        at = at->later;
    }
    cr_expect_null(at);
    cr_expect_eq(worker.queues[deadline].last, before);
}

#define EXPECT_QUEUE(deadline, ...)                                                                                    \
    expect_queue(deadline, (const struct connection *const[]){__VA_ARGS__},                                            \
                 COUNT(((const struct connection *const[]){__VA_ARGS__})))

static inline bool epoll_has(uint32_t events, void *data) {
    struct epoll_event event;
    return epoll_wait(worker.events, &event, 1, 0) == 1 && event.events == events && event.data.ptr == data;
}
