/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which connections a worker accepts, and which it closes for others. */
#include <criterion/criterion.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define admission_has_room test_admission_has_room
#define admission_can_accept test_admission_can_accept
#define admission_receive test_admission_receive
#define admission_admit_waiting test_admission_admit_waiting
#define admission_make_way test_admission_make_way
#include "worker/admission.c"

#include <sys/socket.h>

#include "worker_fixture.h"

TestSuite(admission, .init = prepare, .fini = clean, .timeout = 60);

/* ---- which connection is closed ---- */

/* "Silent" means silent for the time between two checks; after that, a client counts as absent. */
Test(admission, what_a_connection_gives_way_for) {
    static const struct {
        enum state state;
        unsigned begun, stirred; /* milliseconds ago */
        uint8_t steps;
        bool acknowledged, looked_at, alike, local;
        uint64_t sent;
        uint32_t pace;
        unsigned load, crowd;
        enum giver expected;
    } cases[] = {
        {.state = STATE_WAITING, .load = 8, .crowd = 100, .expected = GIVER_WAITING},
        {.state = STATE_HANDSHAKE, .begun = 2000, .expected = GIVER_SILENT},
        {.state = STATE_REQUEST, .begun = 2000, .crowd = 100, .expected = GIVER_SILENT},
        {.state = STATE_HANDSHAKE, .begun = 1999, .expected = GIVER_NONE},
        {.state = STATE_HANDSHAKE, .load = 2, .crowd = 7, .expected = GIVER_NONE},
        {.state = STATE_HANDSHAKE, .load = 3, .expected = GIVER_YOUNG},
        {.state = STATE_HANDSHAKE, .load = 3, .alike = true, .expected = GIVER_NONE},
        {.state = STATE_HANDSHAKE, .crowd = 8, .expected = GIVER_ONE_OF_MANY},
        {.state = STATE_HANDSHAKE, .crowd = 8, .alike = true, .expected = GIVER_NONE},
        {.state = STATE_HANDSHAKE, .crowd = 8, .local = true, .expected = GIVER_NONE},
        {.state = STATE_HANDSHAKE, .begun = 500, .stirred = 199, .expected = GIVER_NONE},
        {.state = STATE_HANDSHAKE, .begun = 500, .stirred = 200, .expected = GIVER_YOUNG},
        {.state = STATE_HANDSHAKE, .begun = 500, .stirred = 200, .alike = true, .expected = GIVER_YOUNG},
        {.state = STATE_SIGNATURE, .begun = 500, .stirred = 200, .expected = GIVER_NONE},
        {.state = STATE_HANDSHAKE, .begun = 600, .stirred = 499, .steps = 1, .expected = GIVER_NONE},
        {.state = STATE_REQUEST, .begun = 600, .stirred = 500, .steps = 1, .expected = GIVER_YOUNG},
        {.state = STATE_LINGER, .acknowledged = true, .sent = 5, .expected = GIVER_THROUGH},
        {.state = STATE_LINGER, .sent = 0, .expected = GIVER_THROUGH},
        {.state = STATE_DRAIN, .sent = 0, .expected = GIVER_THROUGH},
        {.state = STATE_DRAIN, .sent = 5, .expected = GIVER_NONE},
        {.state = STATE_LAST_BYTES, .sent = 0, .begun = 9000, .load = 8, .expected = GIVER_NONE},
        {.state = STATE_PROXY_HEADER, .begun = 2000, .expected = GIVER_SILENT},
        {.state = STATE_HELLO, .begun = 2000, .expected = GIVER_SILENT},
        {.state = STATE_SIGNATURE, .begun = 2000, .expected = GIVER_SILENT},
        {.state = STATE_LINGER, .sent = 5, .expected = GIVER_NONE},
        {.state = STATE_LINGER, .sent = 5, .crowd = 8, .expected = GIVER_ONE_OF_MANY},
        {.state = STATE_LINGER, .sent = 5, .looked_at = true, .expected = GIVER_SLOW},
        {.state = STATE_RESPONSE, .sent = 0, .begun = 9000, .load = 8, .expected = GIVER_NONE},
        {.state = STATE_RESPONSE, .looked_at = true, .pace = 16383, .expected = GIVER_SLOW},
        {.state = STATE_RESPONSE, .looked_at = true, .pace = 16384, .expected = GIVER_NONE},
        {.state = STATE_RESPONSE, .looked_at = true, .pace = 16384, .crowd = 8, .expected = GIVER_ONE_OF_MANY},
        {.state = STATE_RESPONSE, .looked_at = true, .pace = 16384, .load = 1, .crowd = 8, .expected = GIVER_QUICK},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct connection *connection = open_one(-1, cases[i].local);
        connection->state = cases[i].state;
        connection->begun = NOW - cases[i].begun;
        connection->stirred = NOW - cases[i].stirred;
        connection->steps = cases[i].steps;
        connection->acknowledged = cases[i].acknowledged;
        connection->looked_at = cases[i].looked_at;
        connection->sent = cases[i].sent;
        connection->pace = cases[i].pace;
        enum giver giver = giver_of(&worker, connection, cases[i].load, cases[i].crowd, cases[i].alike);
        cr_expect_eq(giver, cases[i].expected, "case %zu: %d", i, giver);
        loop_finish(&worker, connection, false);
    }
}

static unsigned reasons_of(struct connection *connection, bool alike) {
    struct candidate candidate = consider(&worker, connection, alike);
    cr_expect_eq(candidate.connection, connection);
    cr_expect_eq(candidate.load, load_of(&worker, connection));
    cr_expect_eq(candidate.crowd, 1);
    return candidate.reasons;
}

/* Reasons to close a connection: its behaviour, and its address's share of what the address may use. */
Test(admission, reasons_to_go) {
    struct connection *slow = queue_one(STATE_RESPONSE, 1, false), *quick = queue_one(STATE_RESPONSE, 8, false);
    struct connection *young = queue_one(STATE_HANDSHAKE, 2, false), *fine = queue_one(STATE_HANDSHAKE, 8, false);
    slow->looked_at = quick->looked_at = true;
    quick->pace = 16384;
    cr_expect_eq(reasons_of(slow, false), 4 + 8 - 2);
    cr_expect_eq(reasons_of(slow, true), 4, "all of its kind have the same part");
    cr_expect_eq(reasons_of(silent(2, NOW, false), false), 6 + 4 - 2);
    cr_expect_eq(reasons_of(silent(4, NOW, false), false), 6);
    cr_expect_eq(reasons_of(young, false), 1 + 4 - 2);
    cr_expect_eq(reasons_of(fine, false), 0);
    cr_expect_eq(reasons_of(quick, false), 0);
    cr_expect_eq(reasons_of(queue_one(STATE_LINGER, 8, false), false), 100);
    cr_expect_eq(reasons_of(queue_one(STATE_WAITING, 8, true), false), 50);
}

Test(admission, who_goes_before_whom) {
    static struct connection early = {.stirred = 10, .pace = 7, .taken = 9},
                             late = {.stirred = 11, .pace = 6, .taken = 9},
                             behind = {.stirred = 11, .pace = 6, .taken = 8};
    static const struct candidate first_of[][2] = {
        {{&late, GIVER_QUICK, 5, 0, 0}, {&early, GIVER_SILENT, 4, 8, 9}},
        {{&late, GIVER_SILENT, 4, 0, 0}, {&early, GIVER_SLOW, 4, 8, 9}},
        {{&late, GIVER_ONE_OF_MANY, 0, 0, 9}, {&early, GIVER_ONE_OF_MANY, 0, 8, 8}},
        {{&early, GIVER_ONE_OF_MANY, 0, 0, 9}, {&late, GIVER_ONE_OF_MANY, 0, 8, 9}},
        {{&early, GIVER_SILENT, 4, 1, 8}, {&late, GIVER_SILENT, 4, 2, 9}},
        {{&early, GIVER_SLOW, 4, 2, 8}, {&late, GIVER_SLOW, 4, 1, 9}},
        {{&late, GIVER_SLOW, 4, 1, 8}, {&early, GIVER_SLOW, 4, 1, 9}},
        {{&late, GIVER_QUICK, 0, 1, 8}, {&early, GIVER_QUICK, 0, 1, 9}},
        {{&early, GIVER_QUICK, 0, 2, 8}, {&late, GIVER_QUICK, 0, 1, 9}},
        {{&behind, GIVER_SLOW, 4, 1, 8}, {&late, GIVER_SLOW, 4, 1, 9}},
    };
    for (size_t i = 0; i < COUNT(first_of); i++) {
        cr_expect(gives_way_before(&first_of[i][0], &first_of[i][1]), "case %zu", i);
        cr_expect_not(gives_way_before(&first_of[i][1], &first_of[i][0]), "case %zu", i);
        cr_expect_not(gives_way_before(&first_of[i][0], &first_of[i][0]), "case %zu: nobody before himself", i);
    }
}

Test(admission, a_newcomer_with_more_reason_to_go_displaces_nobody) {
    struct connection *alone = queue_one(STATE_HANDSHAKE, 1, false), *light = queue_one(STATE_HANDSHAKE, 4, false);
    static const struct {
        struct candidate giver;
        bool by_alone, by_light; /* with 8 and 2 eighths, of which 6 and 0 are reasons to close; one connection each */
    } cases[] = {
        {{NULL, GIVER_THROUGH, 100, 8, 8}, false, false},
        {{(struct connection *)&cases, GIVER_ONE_OF_MANY, 0, 0, 2}, true, true},
        {{(struct connection *)&cases, GIVER_ONE_OF_MANY, 9, 9, 1}, false, false},
        {{(struct connection *)&cases, GIVER_QUICK, 9, 2, 9}, false, false},
        {{(struct connection *)&cases, GIVER_QUICK, 0, 3, 1}, false, true},
        {{(struct connection *)&cases, GIVER_SILENT, 6, 0, 1}, true, true},
        {{(struct connection *)&cases, GIVER_SILENT, 5, 0, 1}, false, true},
        {{(struct connection *)&cases, GIVER_YOUNG, 0, 0, 1}, false, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_expect_eq(may_displace(&worker, alone, &cases[i].giver, false), cases[i].by_alone, "case %zu", i);
        cr_expect_eq(may_displace(&worker, light, &cases[i].giver, false), cases[i].by_light, "case %zu", i);
        cr_expect_eq(may_displace(&worker, alone, &cases[i].giver, true), i > 0, "case %zu, of this machine", i);
    }
}

Test(admission, who_is_found_to_give_way) {
    struct connection *newcomer = open_one(-1, true);
    cr_expect_null(find_giver(&worker, NULL, false).connection, "nobody is there");
    struct connection *fine = queue_one(STATE_HANDSHAKE, 0, true);
    cr_expect_null(find_giver(&worker, NULL, false).connection, "who gets on stays");
    struct connection *one = silent(0, NOW - 5, false), *two = silent(0, NOW - 6, false), *three = silent(0, NOW, true);
    cr_expect_eq(find_giver(&worker, NULL, false).connection, two, "silent for longest");
    cr_expect_eq(find_giver(&worker, two, false).connection, one, "nobody gives way to himself");
    cr_expect_eq(find_giver(&worker, newcomer, true).connection, three, "of this machine");
    struct connection *waiting = queue_one(STATE_WAITING, 0, true);
    cr_expect_eq(find_giver(&worker, NULL, false).connection, waiting);
    cr_expect_eq(find_giver(&worker, newcomer, true).connection, three, "who waits has no place to give");
    struct connection *through = queue_one(STATE_LINGER, 0, false);
    through->sent = 1; /* all of it acknowledged, as the next check will show */
    cr_expect_eq(find_giver(&worker, NULL, false).connection, through);
    loop_finish(&worker, fine, true), loop_finish(&worker, newcomer, false);
}

/* A response that moves well is closed for another connection of this machine only if there are many such responses. */
Test(admission, quick_replies_of_this_machine) {
    struct connection *newcomer = open_one(-1, true), *last = NULL;
    for (size_t i = 0; i < 8; i++) {
        cr_expect_null(find_giver(&worker, newcomer, true).connection, "%zu", i);
        last = queue_one(STATE_RESPONSE, 8, true);
        last->looked_at = true;
        last->pace = 16384 + 100 - (uint32_t)i;
    }
    cr_expect_eq(find_giver(&worker, newcomer, true).connection, last, "the slowest");
    cr_expect_eq(find_giver(&worker, NULL, false).connection, last);
    loop_finish(&worker, last, true);
    cr_expect_not_null(find_giver(&worker, NULL, false).connection);
    loop_finish(&worker, newcomer, false);
}

/* Active connections of this machine are not closed for one that can wait. */
Test(admission, who_can_wait) {
    struct connection *newcomer = open_one(-1, true), *other = open_one(-1, false);
    struct connection *young = queue_one(STATE_HANDSHAKE, 1, true);
    cr_expect(can_wait(&worker, newcomer));
    cr_expect_not(can_wait(&worker, other));
    cr_expect_null(find_giver(&worker, newcomer, true).connection);
    worker.open_max = worker.open;
    cr_expect_not(can_wait(&worker, newcomer), "there is no room for that");
    cr_expect_eq(find_giver(&worker, newcomer, true).connection, young);
    newcomer->state = STATE_WAITING;
    cr_expect(can_wait(&worker, newcomer), "it waits already");
    cr_expect_null(find_giver(&worker, newcomer, true).connection);
    loop_finish(&worker, newcomer, false), loop_finish(&worker, other, false);
}

Test(admission, a_search_for_those_who_are_through_is_short) {
    struct connection *list[16 + 1];
    for (size_t i = 0; i < COUNT(list); i++) {
        list[i] = queue_one(STATE_LINGER, 0, false);
        list[i]->sent = 1;
    }
    look_at_lingering(&worker);
    for (size_t i = 0; i < COUNT(list); i++)
        cr_expect_eq(list[i]->acknowledged, i < 16, "%zu", i);
}

Test(admission, a_search_for_who_gives_way_has_an_end) {
    struct connection *last = NULL;
    for (int i = 0; i < 512 + 1; i++) {
        last = silent(0, NOW - (uint64_t)i, false);
        if (i == 512 - 1)
            cr_expect_eq(find_giver(&worker, NULL, false).connection, last);
    }
    cr_expect_eq(find_giver(&worker, NULL, false).connection, last->earlier);
}

Test(admission, who_is_displaced_is_counted) {
    struct connection *one = silent(0, NOW, false);
    struct candidate giver = consider(&worker, one, false);
    worker.giver = one;
    displace(&worker, &giver);
    cr_expect_null(worker.giver);
    cr_expect_eq(context.counters->displaced, 1);
    cr_expect_eq(context.remarks.counts[DROP_DISPLACED], 1);
    giver = consider(&worker, queue_one(STATE_LINGER, 0, false), false);
    worker.giver = giver.connection;
    struct connection *other = silent(0, NOW, false);
    loop_finish(&worker, other, true);
    cr_expect_eq(worker.giver, giver.connection);
    displace(&worker, &giver);
    cr_expect_eq(context.counters->displaced, 1, "it was through");
    cr_expect_eq(worker.open, 0);
}

/* ---- connection limits ---- */

Test(admission, room_here_and_elsewhere) {
    cr_expect(admission_has_room(&worker));
    cr_expect_not(is_over(&worker));
    worker.open = worker.open_max;
    cr_expect_not(admission_has_room(&worker));
    cr_expect_not(is_over(&worker));
    worker.open++;
    cr_expect(is_over(&worker));
    worker.open = 0;
    settings.max_connections = 1;
    struct connection *one = silent(0, NOW, false);
    cr_expect(loop_is_full(&worker));
    cr_expect_not(admission_has_room(&worker));
    cr_expect_not(is_over(&worker));
    queue_one(STATE_HANDSHAKE, 0, false);
    cr_expect(is_over(&worker));
    all_shared[1].room = 1;
    cr_expect(others_have_room(&worker));
    cr_expect(admission_can_accept(&worker), "the house is full: another worker's room is none");
    cr_expect_eq(worker.giver, one);
    settings.max_connections = 100;
    cr_expect(admission_can_accept(&worker));
    cr_expect_null(worker.giver, "nobody needs to give way");
    worker.open_max = worker.open;
    cr_expect_not(admission_can_accept(&worker), "another worker takes it");
    all_shared[1].room = 0;
    all_shared[0].room = 1;
    cr_expect_not(others_have_room(&worker), "its own is not another's");
    cr_expect(admission_can_accept(&worker));
    cr_expect_eq(worker.giver, one);
    loop_finish(&worker, one, true);
    worker.open_max = worker.open;
    cr_expect_not(admission_can_accept(&worker), "there is nobody to give way");
    all_shared[0].room = 0;
}

/* A new connection of this machine replaces only another connection of this machine. */
Test(admission, this_machine_has_places_of_its_own) {
    settings.max_connections_from_loopback = 2;
    silent(0, NOW - 100, false);
    for (size_t i = 0; i < 2; i++) {
        struct connection *one = open_one(-1, true);
        cr_assert_eq(admit(&worker, one), ADMITTED);
        loop_enter_queue(&worker, one);
    }
    struct connection *newcomer = open_one(-1, true), *first = worker.queues[DEADLINE_HANDSHAKE].first->later;
    cr_expect_eq(admit(&worker, newcomer), NO_PLACE, "all get on");
    cr_expect_eq(context.counters->displaced, 0);
    first->begun = NOW - 2000;
    cr_expect_eq(admit(&worker, newcomer), ADMITTED);
    cr_expect_eq(context.counters->displaced, 1);
    cr_expect_eq(worker.open, 3);
    loop_enter_queue(&worker, newcomer);
}

/* The limit for all connections includes those of this machine, too. */
Test(admission, one_too_many_takes_the_place_of_another) {
    struct connection *first = open_one(-1, false), *second = open_one(-1, false);
    cr_expect_eq(admit(&worker, first), ADMITTED);
    loop_enter_queue(&worker, first);
    cr_expect_eq(admit(&worker, second), ADMITTED, "there is room");
    worker.open_max = 1;
    cr_expect_eq(admit(&worker, second), NO_PLACE, "the other gets on");
    first->begun = NOW - 2000;
    cr_expect_eq(admit(&worker, second), ADMITTED);
    cr_expect_eq(worker.open, 1);
    cr_expect_eq(context.counters->displaced, 1);
    begin(&worker, second, NO_PLACE);
    cr_expect_eq(worker.open, 0);
    cr_expect_eq(context.counters->refused, 1);
}

Test(admission, who_waits_gets_on_in_turn) {
    int pairs[3][2];
    struct connection *waiting[3];
    settings.max_connections_from_loopback = 1;
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i]), 0);
        waiting[i] = open_one(pairs[i][1], true);
        connection_wait(waiting[i], &context);
        loop_wait(&worker, waiting[i]);
    }
    cr_expect_eq(write(pairs[0][0], "\x16", 1), 1);
    cr_expect_not(epoll_has(EPOLLIN, &waiting[0]->source), "bytes are for later");
    admission_admit_waiting(&worker);
    EXPECT_QUEUE(DEADLINE_HANDSHAKE, waiting[0]);
    EXPECT_QUEUE(DEADLINE_WAITING, waiting[1], waiting[2]);
    cr_expect_eq(waiting[1]->state, STATE_WAITING);
    cr_expect_eq(quota_open(&context.quota), 3);
    cr_expect_eq(waiting[0]->armed, WANT_READ);
    loop_finish(&worker, waiting[0], true);
    settings.max_connections_from_loopback = 100;
    admission_admit_waiting(&worker);
    EXPECT_QUEUE(DEADLINE_HANDSHAKE, waiting[1], waiting[2]);
    cr_expect_null(worker.queues[DEADLINE_WAITING].first);
    for (size_t i = 0; i < 3; i++)
        close(pairs[i][0]);
}

/* An attacker that opens and closes connections must not fill the server with connections that nobody uses. */
Test(admission, who_leaves_while_waiting_takes_up_no_room) {
    int pairs[2][2];
    struct connection *waiting[2];
    settings.max_connections_from_loopback = 1;
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i]), 0);
        waiting[i] = open_one(pairs[i][1], true);
        connection_wait(waiting[i], &context);
        loop_wait(&worker, waiting[i]);
    }
    struct epoll_event event;
    cr_assert_eq(epoll_wait(worker.events, &event, 1, 0), 0, "nobody has left");
    close(pairs[0][0]);
    cr_assert_eq(epoll_wait(worker.events, &event, 1, 0), 1);
    const struct event_source *source = event.data.ptr;
    cr_assert_eq(source, &waiting[0]->source);
    source->handle(&worker, source->context, event.events);
    EXPECT_QUEUE(DEADLINE_WAITING, waiting[1]);
    cr_expect_eq(worker.open, 1);
    cr_expect_eq(quota_open(&context.quota), 1);
    close(pairs[1][0]);
}

Test(admission, who_cannot_be_watched_does_not_wait) {
    struct connection *connection = open_one(-1, true);
    connection_wait(connection, &context);
    loop_wait(&worker, connection);
    cr_expect_eq(worker.open, 0);
    cr_expect_null(worker.queues[DEADLINE_WAITING].first);
}
