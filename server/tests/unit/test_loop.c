/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which connections have reached their deadlines, and which events are watched. */
#include <criterion/criterion.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define loop_is_full test_loop_is_full
#define loop_open test_loop_open
#define loop_enter_queue test_loop_enter_queue
#define loop_leave_queue test_loop_leave_queue
#define loop_finish test_loop_finish
#define loop_wait test_loop_wait
#define loop_end_wait test_loop_end_wait
#define loop_apply test_loop_apply
#define loop_handle test_loop_handle
#define loop_take_signature test_loop_take_signature
#define loop_end_the_late test_loop_end_the_late
#define loop_time_to_wait test_loop_time_to_wait
#include "worker/loop.c"

#include <inttypes.h>
#include <sys/socket.h>

#include "worker_fixture.h"

TestSuite(loop, .init = prepare, .fini = clean, .timeout = 60);

/* ---- deadlines ---- */

Test(loop, a_queue_keeps_its_order) {
    struct connection *one = queue_one(STATE_REQUEST, 0, false), *two = queue_one(STATE_REQUEST, 0, false);
    struct connection *three = queue_one(STATE_REQUEST, 0, false), *reply = queue_one(STATE_RESPONSE, 0, false);
    EXPECT_QUEUE(DEADLINE_REQUEST, one, two, three);
    EXPECT_QUEUE(DEADLINE_RESPONSE, reply);
    cr_expect_eq(one->deadline, NOW + 4000);
    cr_expect_eq(reply->deadline, NOW + 2000, "it is looked at before its time is over");
    setup.deadlines.of[DEADLINE_RESPONSE] = 1999;
    cr_expect_eq(duration_of(&worker, DEADLINE_RESPONSE), 1999);
    setup.deadlines.of[DEADLINE_RESPONSE] = 20000;
    loop_leave_queue(&worker, two);
    EXPECT_QUEUE(DEADLINE_REQUEST, one, three);
    two->state = STATE_RESPONSE;
    loop_enter_queue(&worker, two);
    EXPECT_QUEUE(DEADLINE_RESPONSE, reply, two);
    cr_expect_eq(two->queued, DEADLINE_RESPONSE);
    loop_leave_queue(&worker, one);
    EXPECT_QUEUE(DEADLINE_REQUEST, three);
    loop_enter_queue(&worker, one);
    loop_leave_queue(&worker, one);
    EXPECT_QUEUE(DEADLINE_REQUEST, three);
    loop_leave_queue(&worker, three);
    cr_expect_null(worker.queues[DEADLINE_REQUEST].first);
    cr_expect_null(worker.queues[DEADLINE_REQUEST].last);
    loop_enter_queue(&worker, one), loop_enter_queue(&worker, three);
}

Test(loop, who_is_out_of_time_ends) {
    struct connection *late = queue_one(STATE_HANDSHAKE, 0, false), *early = queue_one(STATE_HANDSHAKE, 0, false);
    struct connection *reply = queue_one(STATE_RESPONSE, 0, false), *through = queue_one(STATE_LINGER, 0, false);
    struct connection *slow = queue_one(STATE_RESPONSE, 0, false);
    late->deadline = reply->deadline = slow->deadline = through->deadline = NOW;
    early->deadline = NOW + 1;
    reply->due = NOW + 1;
    slow->due = NOW;
    through->due = NOW + 1;
    loop_end_the_late(&worker);
    EXPECT_QUEUE(DEADLINE_HANDSHAKE, early);
    EXPECT_QUEUE(DEADLINE_RESPONSE, reply);
    cr_expect_eq(reply->deadline, NOW + 2000, "it goes on until the next look");
    cr_expect(reply->looked_at);
    cr_expect_null(worker.queues[DEADLINE_LINGER].first);
    cr_expect_eq(context.counters->late, 2, "who has all is not late");
    cr_expect_eq(context.remarks.counts[DROP_LATE], 2);
    cr_expect_eq(worker.open, 2);
    cr_expect_eq(context.counters->open, 2);
    cr_expect_eq(quota_open(&context.quota), 2);
}

/* Acknowledged bytes extend the deadline and count for the client's pace. */
Test(loop, a_look_at_a_reply) {
    static const struct {
        uint64_t sent, taken, due;
        uint32_t pace;
        uint64_t taken_then, due_then;
        uint32_t pace_then;
        bool stays;
    } cases[] = {
        {1024, 0, NOW, 0, 1024, NOW + 2000, 512, true},
        {1024, 1024, NOW + 1, 512, 1024, NOW + 1, 256, true},
        {1024, 1024, NOW, 512, 1024, NOW, 256, false},
        {1024, 2048, NOW + 1, 0, 2048, NOW + 1, 0, true},
        {2048, 1024, NOW, 300, 2048, NOW + 2000, 662, true},
        {32767, 0, NOW, 0, 32767, NOW + 63998, 16383, true},
        {1000000, 0, NOW, 100, 1000000, NOW + 80000, 16434, true},
        {512 * 80, 0, NOW, 0, 512 * 80, NOW + 80000, 16384, true},
        {512 * 80, 0, NOW + 1, 0, 512 * 80, NOW + 80000, 16384, true},
        {512 * 80, 0, NOW - 1, 0, 512 * 80, NOW + 79999, 16384, true},
    };
    struct connection *connection = queue_one(STATE_RESPONSE, 0, false);
    for (size_t i = 0; i < COUNT(cases); i++) {
        connection->sent = cases[i].sent;
        connection->taken = cases[i].taken;
        connection->due = cases[i].due;
        connection->pace = cases[i].pace;
        connection->looked_at = false;
        cr_expect_eq(look_at_reply(&worker, connection), cases[i].stays, "case %zu", i);
        cr_expect_eq(connection->taken, cases[i].taken_then, "case %zu", i);
        cr_expect_eq(connection->due, cases[i].due_then, "case %zu: %" PRIu64, i, connection->due - NOW);
        cr_expect_eq(connection->pace, cases[i].pace_then, "case %zu: %u", i, connection->pace);
        cr_expect(connection->looked_at);
    }
    /* Bytes that the kernel still buffers are not acknowledged. */
    int pair[2];
    uint8_t some[100] = {0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(write(pair[1], some, sizeof some), (ssize_t)sizeof some);
    connection->socket = pair[1];
    uint64_t untaken = connection_untaken(connection);
    cr_assert_gt(untaken, 0);
    connection->sent = untaken;
    connection->taken = 0;
    connection->due = NOW + 1;
    cr_expect(look_at_reply(&worker, connection));
    cr_expect_eq(connection->taken, 0);
    connection->sent = untaken + 5;
    cr_expect(look_at_reply(&worker, connection));
    cr_expect_eq(connection->taken, 5);
    /* The final state ends as soon as everything is acknowledged. */
    connection->state = STATE_LINGER;
    connection->due = NOW + 100;
    cr_expect(look_at_reply(&worker, connection));
    cr_assert_eq(read(pair[0], some, sizeof some), (ssize_t)sizeof some);
    cr_expect_not(look_at_reply(&worker, connection));
    close(pair[0]);
}

/* Each check computes anew how full the groups are. */
Test(loop, a_look_weighs_anew) {
    struct connection *one = queue_one(STATE_RESPONSE, 4, false);
    struct quota_member other = one->member;
    struct quota elsewhere = context.quota;
    elsewhere.own = &all_shared[1].quota;
    cr_assert(quota_enter(&elsewhere, &other));
    cr_expect_eq(quota_load(&context.quota, &one->member), 2);
    look_at_reply(&worker, one);
    cr_expect_eq(quota_load(&context.quota, &one->member), 4);
    quota_leave(&elsewhere, &other);
}

Test(loop, how_long_it_sleeps) {
    cr_expect_eq(loop_time_to_wait(&worker), WORKER_BEAT);
    worker.paused_until = NOW + 30;
    cr_expect_eq(loop_time_to_wait(&worker), 30);
    worker.paused_until = NOW;
    cr_expect_eq(loop_time_to_wait(&worker), WORKER_BEAT, "the pause is over");
    worker.paused_until = NOW + WORKER_BEAT + 1;
    cr_expect_eq(loop_time_to_wait(&worker), WORKER_BEAT);
    struct connection *one = queue_one(STATE_LINGER, 0, false), *two = queue_one(STATE_HANDSHAKE, 0, false);
    cr_expect_eq(loop_time_to_wait(&worker), WORKER_BEAT);
    one->deadline = NOW + 200;
    two->deadline = NOW + 201;
    cr_expect_eq(loop_time_to_wait(&worker), 200);
    two->deadline = NOW + 1;
    cr_expect_eq(loop_time_to_wait(&worker), 1);
    two->deadline = NOW;
    cr_expect_eq(loop_time_to_wait(&worker), 0);
    two->deadline = NOW - 5;
    cr_expect_eq(loop_time_to_wait(&worker), 0);
    one->deadline = two->deadline = NOW + 5000;
    struct connection *waiting = queue_one(STATE_WAITING, 0, true);
    cr_expect_eq(loop_time_to_wait(&worker), 100);
    loop_finish(&worker, waiting, true);
    settings.max_connections = 2;
    cr_expect_eq(loop_time_to_wait(&worker), 100);
    settings.max_connections = 3;
    cr_expect_eq(loop_time_to_wait(&worker), WORKER_BEAT);
}

/* ---- events ---- */

Test(loop, what_a_connection_wishes_is_watched) {
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct connection *connection = open_one(pair[1], false);
    loop_apply(&worker, connection, WANT_SIGNATURE, true);
    cr_expect_eq(connection->armed, WANT_READ);
    EXPECT_QUEUE(DEADLINE_HANDSHAKE, connection);
    cr_expect_not(epoll_has(EPOLLIN, &connection->source));
    cr_assert_eq(write(pair[0], "x", 1), 1);
    cr_expect(epoll_has(EPOLLIN, &connection->source));
    look_away(&worker, connection, EPOLLIN);
    cr_expect_eq(connection->armed, WANT_SIGNATURE);
    cr_expect_not(epoll_has(EPOLLIN, &connection->source));
    loop_apply(&worker, connection, WANT_SIGNATURE, false);
    cr_expect_not(epoll_has(EPOLLIN, &connection->source));
    connection->state = STATE_REQUEST;
    context.now = NOW + 1;
    loop_apply(&worker, connection, WANT_READ, false);
    cr_expect(epoll_has(EPOLLIN, &connection->source));
    EXPECT_QUEUE(DEADLINE_REQUEST, connection);
    cr_expect_eq(connection->deadline, NOW + 1 + 4000);
    cr_expect_eq(connection->due, 0);
    connection->state = STATE_RESPONSE;
    loop_apply(&worker, connection, WANT_WRITE, false);
    cr_expect(epoll_has(EPOLLOUT, &connection->source));
    cr_expect_eq(connection->due, NOW + 1 + 20000);
    context.now = NOW + 2;
    loop_apply(&worker, connection, WANT_NEWS, false);
    cr_expect(epoll_has(EPOLLIN | EPOLLOUT, &connection->source));
    cr_expect_not(epoll_has(EPOLLIN | EPOLLOUT, &connection->source), "once only");
    cr_expect_eq(connection->due, NOW + 1 + 20000, "the same reply");
    cr_expect_eq(connection->deadline, NOW + 1 + 2000, "its place in the queue is the same");
    loop_apply(&worker, connection, WANT_CLOSE, false);
    cr_expect_null(worker.queues[DEADLINE_RESPONSE].first);
    cr_expect_eq(worker.open, 0);
    loop_apply(&worker, open_one(-1, false), WANT_READ, true);
    cr_expect_eq(worker.open, 0, "what cannot be watched ends");
    loop_apply(&worker, open_one(-1, false), WANT_CLOSE, true);
    cr_expect_eq(worker.open, 0);
    connection = queue_one(STATE_HANDSHAKE, 0, false);
    loop_apply(&worker, connection, WANT_WRITE, false);
    cr_expect_eq(worker.open, 0);
    /* A connection that begins in the response state. */
    connection = open_one(pair[0], false);
    connection->state = STATE_RESPONSE;
    loop_apply(&worker, connection, WANT_WRITE, true);
    cr_expect_eq(connection->due, NOW + 2 + 20000);
}

Test(loop, ends_and_resets) {
    handle(&worker, queue_one(STATE_REQUEST, 0, false), EPOLLIN | EPOLLERR);
    cr_expect_eq(worker.open, 0);
    struct connection *signing = queue_one(STATE_SIGNATURE, 0, false);
    handle(&worker, signing, EPOLLIN);
    cr_expect_eq(worker.open, 1, "its signature is on its way");
    cr_expect_eq(signing->armed, WANT_SIGNATURE);
    handle(&worker, signing, EPOLLIN | EPOLLHUP);
    cr_expect_eq(worker.open, 0);
}

/* Which states have a deadline of their own, and which share one. */
Test(loop, states_have_deadlines) {
    static const enum deadline expected[] = {
        [STATE_WAITING] = DEADLINE_WAITING,     [STATE_PROXY_HEADER] = DEADLINE_HANDSHAKE,
        [STATE_HELLO] = DEADLINE_HANDSHAKE,     [STATE_HANDSHAKE] = DEADLINE_HANDSHAKE,
        [STATE_SIGNATURE] = DEADLINE_HANDSHAKE, [STATE_REQUEST] = DEADLINE_REQUEST,
        [STATE_RESPONSE] = DEADLINE_RESPONSE,   [STATE_LAST_BYTES] = DEADLINE_RESPONSE,
        [STATE_DRAIN] = DEADLINE_LINGER,        [STATE_LINGER] = DEADLINE_LINGER,
    };
    cr_assert_eq(COUNT(expected), STATE_COUNT);
    for (enum state state = 0; state < STATE_COUNT; state++) {
        struct connection *connection = queue_one(state, 0, false);
        EXPECT_QUEUE(expected[state], connection);
        loop_finish(&worker, connection, true);
    }
}

/* If two states share a deadline, moving from one to the other does not extend it. */
Test(loop, a_state_within_a_deadline_grants_no_time) {
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct connection *connection = open_one(pair[1], false);
    loop_apply(&worker, connection, WANT_READ, true);
    uint64_t deadline = connection->deadline;
    context.now = NOW + 100;
    for (enum state state = STATE_HELLO; state <= STATE_SIGNATURE; state++) {
        connection->state = state;
        loop_apply(&worker, connection, WANT_READ, false);
        cr_expect_eq(connection->deadline, deadline);
    }
    connection->state = STATE_REQUEST;
    loop_apply(&worker, connection, WANT_READ, false);
    cr_expect_eq(connection->deadline, NOW + 100 + 4000);
    close(pair[0]);
}
