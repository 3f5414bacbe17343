/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whom a worker takes, who gives way, and who is out of time. */
#include <criterion/criterion.h>

/* Its own functions, beside those of the program that is linked. */
#define worker_serve test_worker_serve
#include "worker/worker.c"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "logged.h"

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
    .connections_max = 100,
    .hash_key = (const uint8_t *)"a key that all workers have alike",
    .deadlines = {.stage = {[STAGE_WAITING] = 1000,
                            [STAGE_HANDSHAKE] = 3000,
                            [STAGE_REQUEST] = 4000,
                            [STAGE_RESPONSE] = 20000,
                            [STAGE_LINGER] = 1500},
                  .shutdown_grace = 50},
};
static struct worker_context context;
static struct signing_client signing_client;
static struct worker worker;

static void prepare(void) {
    settings_default(&settings);
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

static void clean(void) {
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        while (worker.queues[stage].first)
            finish(&worker, worker.queues[stage].first, true);
    }
    close(worker.events);
}

TestSuite(worker, .init = prepare, .fini = clean, .timeout = 60);

/* A connection that is open, and in no queue. Each is from another address, unless it is from this machine. */
static struct connection *open_one(int socket, bool local) {
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

/* One that the quota has let in, whose client may have `most`, and that waits in the queue of its stage. */
static struct connection *queue_one(enum stage stage, uint32_t most, bool local) {
    static uint64_t number;
    struct connection *connection = open_one(-1, local);
    connection->member =
        (struct quota_member){.count = 1, .groups = {{++number * UINT64_C(0x9e3779b97f4a7c15), most, QUOTA_SLOTS, 1}}};
    cr_assert(quota_enter(&context.quota, &connection->member));
    connection->stage = stage;
    queue_enter(&worker, connection);
    return connection;
}

static struct connection *silent(uint32_t most, uint64_t stirred, bool local) {
    struct connection *connection = queue_one(STAGE_HANDSHAKE, most, local);
    connection->begun = context.now - 2000;
    connection->stirred = stirred;
    return connection;
}

static void expect_queue(enum stage stage, const struct connection *const expected[], size_t count) {
    const struct connection *at = worker.queues[stage].first, *before = NULL;
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(at, expected[i], "place %zu", i);
        cr_expect_eq(at->earlier, before);
        before = at;
        at = at->later;
    }
    cr_expect_null(at);
    cr_expect_eq(worker.queues[stage].last, before);
}

#define EXPECT_QUEUE(stage, ...)                                                                                       \
    expect_queue(stage, (const struct connection *const[]){__VA_ARGS__},                                               \
                 COUNT(((const struct connection *const[]){__VA_ARGS__})))

/* ---- deadlines ---- */

Test(worker, a_queue_keeps_its_order) {
    struct connection *one = queue_one(STAGE_REQUEST, 0, false), *two = queue_one(STAGE_REQUEST, 0, false);
    struct connection *three = queue_one(STAGE_REQUEST, 0, false), *reply = queue_one(STAGE_RESPONSE, 0, false);
    EXPECT_QUEUE(STAGE_REQUEST, one, two, three);
    EXPECT_QUEUE(STAGE_RESPONSE, reply);
    cr_expect_eq(one->deadline, NOW + 4000);
    cr_expect_eq(reply->deadline, NOW + 2000, "it is looked at before its time is over");
    setup.deadlines.stage[STAGE_RESPONSE] = 1999;
    cr_expect_eq(duration_of(&worker, STAGE_RESPONSE), 1999);
    setup.deadlines.stage[STAGE_RESPONSE] = 20000;
    queue_leave(&worker, two);
    EXPECT_QUEUE(STAGE_REQUEST, one, three);
    two->stage = STAGE_RESPONSE;
    queue_enter(&worker, two);
    EXPECT_QUEUE(STAGE_RESPONSE, reply, two);
    cr_expect_eq(two->queued, STAGE_RESPONSE);
    queue_leave(&worker, one);
    EXPECT_QUEUE(STAGE_REQUEST, three);
    queue_enter(&worker, one);
    queue_leave(&worker, one);
    EXPECT_QUEUE(STAGE_REQUEST, three);
    queue_leave(&worker, three);
    cr_expect_null(worker.queues[STAGE_REQUEST].first);
    cr_expect_null(worker.queues[STAGE_REQUEST].last);
    queue_enter(&worker, one), queue_enter(&worker, three);
}

Test(worker, who_is_out_of_time_ends) {
    struct connection *late = queue_one(STAGE_HANDSHAKE, 0, false), *early = queue_one(STAGE_HANDSHAKE, 0, false);
    struct connection *reply = queue_one(STAGE_RESPONSE, 0, false), *through = queue_one(STAGE_LINGER, 0, false);
    struct connection *slow = queue_one(STAGE_RESPONSE, 0, false);
    late->deadline = reply->deadline = slow->deadline = through->deadline = NOW;
    early->deadline = NOW + 1;
    reply->due = NOW + 1;
    slow->due = NOW;
    through->due = NOW + 1;
    end_the_late(&worker);
    EXPECT_QUEUE(STAGE_HANDSHAKE, early);
    EXPECT_QUEUE(STAGE_RESPONSE, reply);
    cr_expect_eq(reply->deadline, NOW + 2000, "it goes on until the next look");
    cr_expect(reply->looked_at);
    cr_expect_null(worker.queues[STAGE_LINGER].first);
    cr_expect_eq(context.counters->late, 2, "who has all is not late");
    cr_expect_eq(context.remarks.counts[DROP_LATE], 2);
    cr_expect_eq(worker.open, 2);
    cr_expect_eq(context.counters->open, 2);
    cr_expect_eq(quota_open(&context.quota), 2);
}

/* What a client has acknowledged grants time and counts for its pace. */
Test(worker, a_look_at_a_reply) {
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
    struct connection *connection = queue_one(STAGE_RESPONSE, 0, false);
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
    /* What the kernel still holds was not acknowledged. */
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
    /* The farewell: over as soon as all is acknowledged. */
    connection->stage = STAGE_LINGER;
    connection->due = NOW + 100;
    cr_expect(look_at_reply(&worker, connection));
    cr_assert_eq(read(pair[0], some, sizeof some), (ssize_t)sizeof some);
    cr_expect_not(look_at_reply(&worker, connection));
    close(pair[0]);
}

Test(worker, how_long_it_sleeps) {
    cr_expect_eq(time_to_wait(&worker), WORKER_BEAT);
    worker.paused_until = NOW + 30;
    cr_expect_eq(time_to_wait(&worker), 30);
    worker.paused_until = NOW;
    cr_expect_eq(time_to_wait(&worker), WORKER_BEAT, "the pause is over");
    worker.paused_until = NOW + WORKER_BEAT + 1;
    cr_expect_eq(time_to_wait(&worker), WORKER_BEAT);
    struct connection *one = queue_one(STAGE_LINGER, 0, false), *two = queue_one(STAGE_HANDSHAKE, 0, false);
    cr_expect_eq(time_to_wait(&worker), WORKER_BEAT);
    one->deadline = NOW + 200;
    two->deadline = NOW + 201;
    cr_expect_eq(time_to_wait(&worker), 200);
    two->deadline = NOW + 1;
    cr_expect_eq(time_to_wait(&worker), 1);
    two->deadline = NOW;
    cr_expect_eq(time_to_wait(&worker), 0);
    two->deadline = NOW - 5;
    cr_expect_eq(time_to_wait(&worker), 0);
    one->deadline = two->deadline = NOW + 5000;
    struct connection *waiting = queue_one(STAGE_WAITING, 0, true);
    cr_expect_eq(time_to_wait(&worker), 100);
    finish(&worker, waiting, true);
    setup.connections_max = 2;
    cr_expect_eq(time_to_wait(&worker), 100);
    setup.connections_max = 3;
    cr_expect_eq(time_to_wait(&worker), WORKER_BEAT);
}

/* ---- who gives way ---- */

/* Silent for the time of one look, which makes of somebody who is there somebody who is not. */
Test(worker, what_a_connection_gives_way_for) {
    static const struct {
        enum stage stage;
        unsigned begun, stirred; /* milliseconds ago */
        uint8_t steps;
        bool signing, acknowledged, looked_at, alike, local;
        uint64_t sent;
        uint32_t pace;
        unsigned load, crowd;
        enum giver expected;
    } cases[] = {
        {.stage = STAGE_WAITING, .load = 8, .crowd = 100, .expected = GIVER_WAITING},
        {.stage = STAGE_HANDSHAKE, .begun = 2000, .expected = GIVER_SILENT},
        {.stage = STAGE_REQUEST, .begun = 2000, .crowd = 100, .expected = GIVER_SILENT},
        {.stage = STAGE_HANDSHAKE, .begun = 1999, .expected = GIVER_NONE},
        {.stage = STAGE_HANDSHAKE, .load = 2, .crowd = 7, .expected = GIVER_NONE},
        {.stage = STAGE_HANDSHAKE, .load = 3, .expected = GIVER_YOUNG},
        {.stage = STAGE_HANDSHAKE, .load = 3, .alike = true, .expected = GIVER_NONE},
        {.stage = STAGE_HANDSHAKE, .crowd = 8, .expected = GIVER_ONE_OF_MANY},
        {.stage = STAGE_HANDSHAKE, .crowd = 8, .alike = true, .expected = GIVER_NONE},
        {.stage = STAGE_HANDSHAKE, .crowd = 8, .local = true, .expected = GIVER_NONE},
        {.stage = STAGE_HANDSHAKE, .begun = 500, .stirred = 199, .expected = GIVER_NONE},
        {.stage = STAGE_HANDSHAKE, .begun = 500, .stirred = 200, .expected = GIVER_YOUNG},
        {.stage = STAGE_HANDSHAKE, .begun = 500, .stirred = 200, .alike = true, .expected = GIVER_YOUNG},
        {.stage = STAGE_HANDSHAKE, .begun = 500, .stirred = 200, .signing = true, .expected = GIVER_NONE},
        {.stage = STAGE_HANDSHAKE, .begun = 600, .stirred = 499, .steps = 1, .expected = GIVER_NONE},
        {.stage = STAGE_REQUEST, .begun = 600, .stirred = 500, .steps = 1, .expected = GIVER_YOUNG},
        {.stage = STAGE_LINGER, .acknowledged = true, .sent = 5, .expected = GIVER_THROUGH},
        {.stage = STAGE_LINGER, .sent = 0, .expected = GIVER_THROUGH},
        {.stage = STAGE_LINGER, .sent = 5, .expected = GIVER_NONE},
        {.stage = STAGE_LINGER, .sent = 5, .crowd = 8, .expected = GIVER_ONE_OF_MANY},
        {.stage = STAGE_LINGER, .sent = 5, .looked_at = true, .expected = GIVER_SLOW},
        {.stage = STAGE_RESPONSE, .sent = 0, .begun = 9000, .load = 8, .expected = GIVER_NONE},
        {.stage = STAGE_RESPONSE, .looked_at = true, .pace = 16383, .expected = GIVER_SLOW},
        {.stage = STAGE_RESPONSE, .looked_at = true, .pace = 16384, .expected = GIVER_NONE},
        {.stage = STAGE_RESPONSE, .looked_at = true, .pace = 16384, .crowd = 8, .expected = GIVER_ONE_OF_MANY},
        {.stage = STAGE_RESPONSE, .looked_at = true, .pace = 16384, .load = 1, .crowd = 8, .expected = GIVER_QUICK},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct connection *connection = open_one(-1, cases[i].local);
        connection->stage = cases[i].stage;
        connection->begun = NOW - cases[i].begun;
        connection->stirred = NOW - cases[i].stirred;
        connection->steps = cases[i].steps;
        connection->signing = cases[i].signing;
        connection->acknowledged = cases[i].acknowledged;
        connection->looked_at = cases[i].looked_at;
        connection->sent = cases[i].sent;
        connection->pace = cases[i].pace;
        enum giver giver = giver_of(&worker, connection, cases[i].load, cases[i].crowd, cases[i].alike);
        cr_expect_eq(giver, cases[i].expected, "case %zu: %d", i, giver);
        finish(&worker, connection, false);
    }
}

static unsigned reasons_of(struct connection *connection, bool alike) {
    struct candidate candidate = consider(&worker, connection, alike);
    cr_expect_eq(candidate.connection, connection);
    cr_expect_eq(candidate.load, load_of(&worker, connection));
    cr_expect_eq(candidate.crowd, 1);
    return candidate.reasons;
}

/* How it behaves, and what part of what it may have its address takes. */
Test(worker, reasons_to_go) {
    struct connection *slow = queue_one(STAGE_RESPONSE, 1, false), *quick = queue_one(STAGE_RESPONSE, 8, false);
    struct connection *young = queue_one(STAGE_HANDSHAKE, 2, false), *fine = queue_one(STAGE_HANDSHAKE, 8, false);
    slow->looked_at = quick->looked_at = true;
    quick->pace = 16384;
    cr_expect_eq(reasons_of(slow, false), 4 + 8 - 2);
    cr_expect_eq(reasons_of(slow, true), 4, "all of its kind have the same part");
    cr_expect_eq(reasons_of(silent(2, NOW, false), false), 6 + 4 - 2);
    cr_expect_eq(reasons_of(silent(4, NOW, false), false), 6);
    cr_expect_eq(reasons_of(young, false), 1 + 4 - 2);
    cr_expect_eq(reasons_of(fine, false), 0);
    cr_expect_eq(reasons_of(quick, false), 0);
    cr_expect_eq(reasons_of(queue_one(STAGE_LINGER, 8, false), false), 100);
    cr_expect_eq(reasons_of(queue_one(STAGE_WAITING, 8, true), false), 50);
}

Test(worker, who_goes_before_whom) {
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

Test(worker, a_newcomer_with_more_reason_to_go_displaces_nobody) {
    struct connection *alone = queue_one(STAGE_HANDSHAKE, 1, false), *light = queue_one(STAGE_HANDSHAKE, 4, false);
    static const struct {
        struct candidate giver;
        bool by_alone, by_light; /* with 8 and 2 eighths, 6 and 0 of them reasons to go; one connection each */
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

Test(worker, who_is_found_to_give_way) {
    struct connection *newcomer = open_one(-1, true);
    cr_expect_null(find_giver(&worker, NULL, false).connection, "nobody is there");
    struct connection *fine = queue_one(STAGE_HANDSHAKE, 0, true);
    cr_expect_null(find_giver(&worker, NULL, false).connection, "who gets on stays");
    struct connection *one = silent(0, NOW - 5, false), *two = silent(0, NOW - 6, false), *three = silent(0, NOW, true);
    cr_expect_eq(find_giver(&worker, NULL, false).connection, two, "silent for longest");
    cr_expect_eq(find_giver(&worker, two, false).connection, one, "nobody gives way to himself");
    cr_expect_eq(find_giver(&worker, newcomer, true).connection, three, "of this machine");
    struct connection *waiting = queue_one(STAGE_WAITING, 0, true);
    cr_expect_eq(find_giver(&worker, NULL, false).connection, waiting);
    cr_expect_eq(find_giver(&worker, newcomer, true).connection, three, "who waits has no place to give");
    struct connection *through = queue_one(STAGE_LINGER, 0, false);
    through->sent = 1; /* all of it acknowledged, as will be seen */
    cr_expect_eq(find_giver(&worker, NULL, false).connection, through);
    finish(&worker, fine, true), finish(&worker, newcomer, false);
}

/* Of responses that move well one gives way to its own kind only when there are many. */
Test(worker, quick_replies_of_this_machine) {
    struct connection *newcomer = open_one(-1, true), *last = NULL;
    for (size_t i = 0; i < 8; i++) {
        cr_expect_null(find_giver(&worker, newcomer, true).connection, "%zu", i);
        last = queue_one(STAGE_RESPONSE, 8, true);
        last->looked_at = true;
        last->pace = 16384 + 100 - (uint32_t)i;
    }
    cr_expect_eq(find_giver(&worker, newcomer, true).connection, last, "the slowest");
    cr_expect_eq(find_giver(&worker, NULL, false).connection, last);
    finish(&worker, last, true);
    cr_expect_not_null(find_giver(&worker, NULL, false).connection);
    finish(&worker, newcomer, false);
}

/* Those of this machine who get on are not disturbed by one who can wait. */
Test(worker, who_can_wait) {
    struct connection *newcomer = open_one(-1, true), *other = open_one(-1, false);
    struct connection *young = queue_one(STAGE_HANDSHAKE, 1, true);
    cr_expect(can_wait(&worker, newcomer));
    cr_expect_not(can_wait(&worker, other));
    cr_expect_null(find_giver(&worker, newcomer, true).connection);
    worker.open_max = worker.open;
    cr_expect_not(can_wait(&worker, newcomer), "there is no room for that");
    cr_expect_eq(find_giver(&worker, newcomer, true).connection, young);
    newcomer->stage = STAGE_WAITING;
    cr_expect(can_wait(&worker, newcomer), "it waits already");
    cr_expect_null(find_giver(&worker, newcomer, true).connection);
    finish(&worker, newcomer, false), finish(&worker, other, false);
}

Test(worker, a_search_for_those_who_are_through_is_short) {
    struct connection *list[16 + 1];
    for (size_t i = 0; i < COUNT(list); i++) {
        list[i] = queue_one(STAGE_LINGER, 0, false);
        list[i]->sent = 1;
    }
    look_at_lingering(&worker);
    for (size_t i = 0; i < COUNT(list); i++)
        cr_expect_eq(list[i]->acknowledged, i < 16, "%zu", i);
}

Test(worker, a_search_for_who_gives_way_has_an_end) {
    struct connection *last = NULL;
    for (int i = 0; i < 512 + 1; i++) {
        last = silent(0, NOW - (uint64_t)i, false);
        if (i == 512 - 1)
            cr_expect_eq(find_giver(&worker, NULL, false).connection, last);
    }
    cr_expect_eq(find_giver(&worker, NULL, false).connection, last->earlier);
}

Test(worker, who_is_displaced_is_counted) {
    struct connection *one = silent(0, NOW, false);
    struct candidate giver = consider(&worker, one, false);
    worker.giver = one;
    displace(&worker, &giver);
    cr_expect_null(worker.giver);
    cr_expect_eq(context.counters->displaced, 1);
    cr_expect_eq(context.remarks.counts[DROP_DISPLACED], 1);
    giver = consider(&worker, queue_one(STAGE_LINGER, 0, false), false);
    worker.giver = giver.connection;
    struct connection *other = silent(0, NOW, false);
    finish(&worker, other, true);
    cr_expect_eq(worker.giver, giver.connection);
    displace(&worker, &giver);
    cr_expect_eq(context.counters->displaced, 1, "it was through");
    cr_expect_eq(worker.open, 0);
}

/* ---- places ---- */

Test(worker, room_here_and_elsewhere) {
    cr_expect(has_room(&worker));
    cr_expect_not(is_over(&worker));
    worker.open = worker.open_max;
    cr_expect_not(has_room(&worker));
    cr_expect_not(is_over(&worker));
    worker.open++;
    cr_expect(is_over(&worker));
    worker.open = 0;
    setup.connections_max = 1;
    struct connection *one = silent(0, NOW, false);
    cr_expect(fixture_is_full(&worker));
    cr_expect_not(has_room(&worker));
    cr_expect_not(is_over(&worker));
    queue_one(STAGE_HANDSHAKE, 0, false);
    cr_expect(is_over(&worker));
    all_shared[1].room = 1;
    cr_expect(others_have_room(&worker));
    cr_expect(can_accept(&worker), "the house is full: another worker's room is none");
    cr_expect_eq(worker.giver, one);
    setup.connections_max = 100;
    cr_expect(can_accept(&worker));
    cr_expect_null(worker.giver, "nobody needs to give way");
    worker.open_max = worker.open;
    cr_expect_not(can_accept(&worker), "another worker takes it");
    all_shared[1].room = 0;
    all_shared[0].room = 1;
    cr_expect_not(others_have_room(&worker), "its own is not another's");
    cr_expect(can_accept(&worker));
    cr_expect_eq(worker.giver, one);
    finish(&worker, one, true);
    worker.open_max = worker.open;
    cr_expect_not(can_accept(&worker), "there is nobody to give way");
    all_shared[0].room = 0;
}

/* A newcomer of this machine takes the place of somebody of this machine, and of nobody else. */
Test(worker, this_machine_has_places_of_its_own) {
    settings.max_connections_from_loopback = 2;
    silent(0, NOW - 100, false);
    for (size_t i = 0; i < 2; i++) {
        struct connection *one = open_one(-1, true);
        cr_assert_eq(admit(&worker, one), ADMITTED);
        queue_enter(&worker, one);
    }
    struct connection *newcomer = open_one(-1, true), *first = worker.queues[STAGE_HANDSHAKE].first->later;
    cr_expect_eq(admit(&worker, newcomer), NO_PLACE, "all get on");
    cr_expect_eq(context.counters->displaced, 0);
    first->begun = NOW - 2000;
    cr_expect_eq(admit(&worker, newcomer), ADMITTED);
    cr_expect_eq(context.counters->displaced, 1);
    cr_expect_eq(worker.open, 3);
    queue_enter(&worker, newcomer);
}

/* The bound for all is met by those of this machine, too. */
Test(worker, one_too_many_takes_the_place_of_another) {
    struct connection *first = open_one(-1, false), *second = open_one(-1, false);
    cr_expect_eq(admit(&worker, first), ADMITTED);
    queue_enter(&worker, first);
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

Test(worker, who_waits_gets_on_in_turn) {
    int pairs[3][2];
    struct connection *waiting[3];
    settings.max_connections_from_loopback = 1;
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i]), 0);
        waiting[i] = open_one(pairs[i][1], true);
        connection_wait(waiting[i], &context);
        queue_enter(&worker, waiting[i]);
    }
    admit_waiting(&worker);
    EXPECT_QUEUE(STAGE_HANDSHAKE, waiting[0]);
    EXPECT_QUEUE(STAGE_WAITING, waiting[1], waiting[2]);
    cr_expect_eq(waiting[1]->stage, STAGE_WAITING);
    cr_expect_eq(quota_open(&context.quota), 3);
    cr_expect_eq(waiting[0]->armed, WANT_READ);
    finish(&worker, waiting[0], true);
    settings.max_connections_from_loopback = 100;
    admit_waiting(&worker);
    EXPECT_QUEUE(STAGE_HANDSHAKE, waiting[1], waiting[2]);
    cr_expect_null(worker.queues[STAGE_WAITING].first);
    for (size_t i = 0; i < 3; i++)
        close(pairs[i][0]);
}

/* One of this machine waits where there is room for that; else another one gives way. */
Test(worker, who_comes_from_this_machine) {
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
    const struct connection *first = worker.queues[STAGE_HANDSHAKE].first, *second = worker.queues[STAGE_WAITING].first;
    cr_assert(first && second);
    cr_expect_eq(first->socket, pairs[2][1]);
    cr_expect_eq(first->port, 1966);
    cr_expect_eq(second->socket, pairs[1][1]);
    EXPECT_QUEUE(STAGE_HANDSHAKE, first);
    EXPECT_QUEUE(STAGE_WAITING, second);
    cr_expect_eq(second->stage, STAGE_WAITING);
    cr_expect_eq(worker.open, 2);
    cr_expect_eq(context.counters->accepted, 3);
    cr_expect_eq(context.counters->displaced, 1);
    cr_expect_eq(quota_open(&context.quota), 2);
    settings.proxy_ports = (struct settings_ports){.count = 1, .ports = {1966}};
    worker.open_max = 100;
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    welcome(&worker, pair[1], &listeners[0], &stored);
    cr_assert_neq(worker.queues[STAGE_HANDSHAKE].last, first);
    cr_expect(worker.queues[STAGE_HANDSHAKE].last->proxied);
    close(pair[0]);
    for (size_t i = 0; i < 3; i++)
        close(pairs[i][0]);
}

/* How full its groups are is found out anew with each look. */
Test(worker, a_look_weighs_anew) {
    struct connection *one = queue_one(STAGE_RESPONSE, 4, false);
    struct quota_member other = one->member;
    struct quota elsewhere = context.quota;
    elsewhere.own = &all_shared[1].quota;
    cr_assert(quota_enter(&elsewhere, &other));
    cr_expect_eq(load_of(&worker, one), 2);
    look_at_reply(&worker, one);
    cr_expect_eq(load_of(&worker, one), 4);
    quota_leave(&elsewhere, &other);
}

/* ---- listeners ---- */

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

static bool epoll_has(uint32_t events, void *data) {
    struct epoll_event event;
    return epoll_wait(worker.events, &event, 1, 0) == 1 && event.events == events && event.data.ptr == data;
}

Test(worker, some_are_accepted_at_once_and_the_others_later) {
    int clients[32 + 2];
    settings.max_connections_per_address = 100; /* they have none, so that all are one client */
    open_listener();
    for (size_t i = 0; i < COUNT(clients); i++)
        clients[i] = visit();
    accept_some(&worker, &listeners[0]);
    cr_expect_eq(worker.open, 32);
    cr_expect_eq(context.counters->open, 32);
    cr_expect_eq(context.counters->accepted, 32);
    accept_some(&worker, &listeners[0]);
    cr_expect_eq(worker.open, COUNT(clients));
    cr_expect(worker.queues[STAGE_HANDSHAKE].first->port == 1965 && !worker.queues[STAGE_HANDSHAKE].first->proxied);
    for (size_t i = 0; i < COUNT(clients); i++)
        close(clients[i]);
    close(listeners[0].descriptor);
}

Test(worker, listening_begins_and_ends) {
    open_listener();
    listen_again(&worker);
    cr_expect(worker.listening);
    int client = visit();
    cr_expect(epoll_has(EPOLLIN, &listeners[0]));
    listen_no_more(&worker);
    cr_expect_not(worker.listening);
    cr_expect_not(epoll_has(EPOLLIN, &listeners[0]));
    cr_expect(is_listener(&worker, &listeners[0]));
    cr_expect_not(is_listener(&worker, &listeners[1]), "there is one only");
    cr_expect_not(is_listener(&worker, (const char *)listeners - 1));
    close(client), close(listeners[0].descriptor);
}

Test(worker, no_room_in_the_system_is_a_pause) {
    struct rlimit limit, less;
    open_listener();
    listen_again(&worker);
    int client = visit(), next = dup(client);
    close(next);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    less = (struct rlimit){(rlim_t)next, limit.rlim_max};
    logged_begin();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
    accept_some(&worker, &listeners[0]);
    bool listened = worker.listening;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const char *text = logged_end();
    cr_expect_not(listened);
    cr_expect_eq(logged_count(text, "cannot accept connections: "), 1, "%s", text);
    cr_expect_not_null(strstr(text, "with 0 open"));
    logged_begin();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
    accept_some(&worker, &listeners[0]);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect_str_eq(logged_end(), "", "it is told once");
    cr_expect_eq(worker.paused_until, NOW + 250);
    cr_expect_eq(worker.open, 0);
    context.now = NOW + 250 - 1;
    attend_listeners(&worker, NULL, 0);
    cr_expect_not(worker.listening);
    cr_expect_eq(all_shared[0].room, 0);
    context.now = NOW + 250;
    attend_listeners(&worker, NULL, 0);
    cr_expect(worker.listening);
    cr_expect_eq(all_shared[0].room, 1);
    context.now += WORKER_BEAT;
    attend_listeners(&worker, NULL, 0);
    cr_expect_eq(worker.open, 1, "who waited for that is taken");
    close(client), close(listeners[0].descriptor);
}

/* A worker that listens tries now and then, whether it was woken or not. */
Test(worker, nobody_waits_for_an_event_that_another_worker_had) {
    const struct listener *waiting[] = {listeners};
    open_listener();
    int clients[4];
    worker.tried_at = NOW;
    clients[0] = visit();
    attend_listeners(&worker, waiting, 1);
    cr_expect_eq(worker.open, 0, "it did not listen");
    cr_expect(worker.listening);
    attend_listeners(&worker, waiting, 1);
    cr_expect_eq(worker.open, 1);
    clients[1] = visit();
    context.now = NOW + WORKER_BEAT - 1;
    attend_listeners(&worker, NULL, 0);
    cr_expect_eq(worker.open, 1);
    context.now = NOW + WORKER_BEAT;
    attend_listeners(&worker, NULL, 0);
    cr_expect_eq(worker.open, 2);
    cr_expect_eq(worker.tried_at, NOW + WORKER_BEAT);
    worker.queues[STAGE_HANDSHAKE].first->stirred = context.now;
    setup.connections_max = 2; /* when all places are taken, it tries more often */
    clients[2] = visit();
    attend_listeners(&worker, NULL, 0);
    cr_expect(worker.listening == false, "all of them get on");
    cr_expect_eq(all_shared[0].room, 0);
    worker.queues[STAGE_HANDSHAKE].first->begun -= 2000;
    attend_listeners(&worker, NULL, 0);
    cr_expect(worker.listening, "one would give way");
    cr_expect_eq(all_shared[0].room, 0);
    context.now += 100 - 1;
    attend_listeners(&worker, NULL, 0);
    cr_expect_eq(context.counters->displaced, 0);
    context.now++;
    attend_listeners(&worker, NULL, 0);
    cr_expect_eq(context.counters->displaced, 1);
    cr_expect_eq(worker.open, 2);
    /* One that is to stop takes nobody, and still makes room for others, in its own time. */
    worker.told_to_stop = true;
    worker.queues[STAGE_HANDSHAKE].first->begun -= 2000;
    clients[3] = visit();
    attend_listeners(&worker, NULL, 0);
    cr_expect_not(worker.listening);
    cr_expect_eq(worker.open, 2);
    context.now += 100;
    attend_listeners(&worker, NULL, 0);
    cr_expect_eq(worker.open, 1);
    cr_expect_eq(context.counters->displaced, 2);
    context.now += WORKER_BEAT;
    worker.queues[STAGE_HANDSHAKE].first->begun -= 2000;
    attend_listeners(&worker, NULL, 0);
    cr_expect_eq(worker.open, 1, "there is room now");
    for (size_t i = 0; i < COUNT(clients); i++)
        close(clients[i]);
    close(listeners[0].descriptor);
    setup.connections_max = 100;
}

/* ---- events ---- */

Test(worker, what_a_connection_wishes_is_watched) {
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct connection *connection = open_one(pair[1], false);
    apply(&worker, connection, WANT_SIGNATURE, true);
    cr_expect_eq(connection->armed, WANT_READ);
    EXPECT_QUEUE(STAGE_HANDSHAKE, connection);
    cr_expect_not(epoll_has(EPOLLIN, connection));
    cr_assert_eq(write(pair[0], "x", 1), 1);
    cr_expect(epoll_has(EPOLLIN, connection));
    look_away(&worker, connection, EPOLLIN);
    cr_expect_eq(connection->armed, WANT_SIGNATURE);
    cr_expect_not(epoll_has(EPOLLIN, connection));
    apply(&worker, connection, WANT_SIGNATURE, false);
    cr_expect_not(epoll_has(EPOLLIN, connection));
    connection->stage = STAGE_REQUEST;
    context.now = NOW + 1;
    apply(&worker, connection, WANT_READ, false);
    cr_expect(epoll_has(EPOLLIN, connection));
    EXPECT_QUEUE(STAGE_REQUEST, connection);
    cr_expect_eq(connection->deadline, NOW + 1 + 4000);
    cr_expect_eq(connection->due, 0);
    connection->stage = STAGE_RESPONSE;
    apply(&worker, connection, WANT_WRITE, false);
    cr_expect(epoll_has(EPOLLOUT, connection));
    cr_expect_eq(connection->due, NOW + 1 + 20000);
    context.now = NOW + 2;
    apply(&worker, connection, WANT_NEWS, false);
    cr_expect(epoll_has(EPOLLIN | EPOLLOUT, connection));
    cr_expect_not(epoll_has(EPOLLIN | EPOLLOUT, connection), "once only");
    cr_expect_eq(connection->due, NOW + 1 + 20000, "the same reply");
    cr_expect_eq(connection->deadline, NOW + 1 + 2000, "its place in the queue is the same");
    apply(&worker, connection, WANT_CLOSE, false);
    cr_expect_null(worker.queues[STAGE_RESPONSE].first);
    cr_expect_eq(worker.open, 0);
    apply(&worker, open_one(-1, false), WANT_READ, true);
    cr_expect_eq(worker.open, 0, "what cannot be watched ends");
    apply(&worker, open_one(-1, false), WANT_CLOSE, true);
    cr_expect_eq(worker.open, 0);
    connection = queue_one(STAGE_HANDSHAKE, 0, false);
    apply(&worker, connection, WANT_WRITE, false);
    cr_expect_eq(worker.open, 0);
    /* One that begins with its reply. */
    connection = open_one(pair[0], false);
    connection->stage = STAGE_RESPONSE;
    apply(&worker, connection, WANT_WRITE, true);
    cr_expect_eq(connection->due, NOW + 2 + 20000);
}

Test(worker, ends_and_resets) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLERR, .data.ptr = queue_one(STAGE_REQUEST, 0, false)};
    handle(&worker, &event);
    cr_expect_eq(worker.open, 0);
    struct connection *signing = queue_one(STAGE_HANDSHAKE, 0, false);
    signing->signing = true;
    event = (struct epoll_event){.events = EPOLLIN, .data.ptr = signing};
    handle(&worker, &event);
    cr_expect_eq(worker.open, 1, "its signature is on its way");
    cr_expect_eq(signing->armed, WANT_SIGNATURE);
    event.events = EPOLLIN | EPOLLHUP;
    handle(&worker, &event);
    cr_expect_eq(worker.open, 0);
}

Test(worker, signals_to_stop) {
    int ends[2];
    struct signalfd_siginfo signal = {.ssi_signo = SIGHUP};
    cr_assert_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    worker.stops = ends[0];
    read_signals(&worker);
    cr_expect_not(worker.told_to_stop);
    cr_assert_eq(write(ends[1], &signal, sizeof signal), (ssize_t)sizeof signal);
    read_signals(&worker);
    cr_expect(worker.told_to_stop);
    cr_expect_not(worker.told_to_hurry, "it ends with its connections");
    signal.ssi_signo = SIGTERM;
    cr_assert_eq(write(ends[1], &signal, sizeof signal), (ssize_t)sizeof signal);
    signal.ssi_signo = SIGHUP;
    cr_assert_eq(write(ends[1], &signal, sizeof signal), (ssize_t)sizeof signal);
    read_signals(&worker);
    cr_expect(worker.told_to_hurry);
    close(ends[0]), close(ends[1]);
}

/* Its end: after SIGHUP with the last connection, after SIGTERM in a moment. */
Test(worker, the_end_of_a_worker) {
    int channel[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, channel), 0);
    signing_client_open(&signing_client, channel[0]);
    setup.channel = channel[0];
    setup.listener_count = 0;
    cr_assert(watch(&worker, channel[0], &signing_client));
    worker.stops = open_stops();
    cr_assert(watch(&worker, worker.stops, &worker.stops));
    context.now = clock_milliseconds();
    all_shared[0].ready = 1;
    queue_one(STAGE_HANDSHAKE, 0, false)->deadline = context.now + 100;
    raise(SIGHUP);
    uint64_t begun = context.now, beats = all_shared[0].beats;
    run(&worker);
    cr_expect_geq(context.now, begun + 100);
    cr_expect_eq(context.counters->late, 1);
    cr_expect_eq(worker.open, 0);
    cr_expect_eq(all_shared[0].ready, 0);
    cr_expect_gt(all_shared[0].beats, beats);
    cr_expect_not(worker.told_to_hurry);
    /* In a hurry. */
    worker.told_to_stop = false;
    queue_one(STAGE_HANDSHAKE, 0, false)->deadline = context.now + 600000;
    raise(SIGTERM);
    begun = context.now;
    run(&worker);
    cr_expect_geq(context.now, begun + setup.deadlines.shutdown_grace);
    cr_expect_eq(worker.open, 0);
    cr_expect_eq(context.counters->late, 1, "it was ended, and not late");
    /* The key process is gone. */
    worker.told_to_stop = worker.told_to_hurry = false;
    close(channel[1]);
    run(&worker);
    cr_expect(worker.told_to_stop && worker.told_to_hurry);
    cr_expect_not(epoll_has(EPOLLIN | EPOLLHUP, &signing_client));
    close(channel[0]), close(worker.stops);
    setup.listener_count = 1;
    setup.channel = -1;
}

/* ---- the start ---- */

Test(worker, low_numbers_are_taken) {
    cr_assert(keep_low_numbers(worker.events));
    int next = dup(worker.events);
    cr_expect_geq(next, SANDBOX_SHARED);
    close(next);
    cr_expect_eq(fcntl(SANDBOX_SHARED, F_GETFD), -1, "no more than these");
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){SANDBOX_SHARED, limit.rlim_max}), 0);
    cr_expect_not(keep_low_numbers(worker.events));
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(worker, as_many_connections_as_there_are_descriptors) {
    static const struct {
        rlim_t now, most;
        size_t wanted, expected;
        rlim_t then;
    } cases[] = {
        {100, 100, 1000, (100 - DESCRIPTORS_APART) / 2, 100},
        {64, 200, 1000, (200 - DESCRIPTORS_APART) / 2, 200},
        {64, 1000, 100, 100, 200 + DESCRIPTORS_APART},
        {300, 1000, 100, 100, 300},
        {DESCRIPTORS_APART + 2, DESCRIPTORS_APART + 2, 100, 1, DESCRIPTORS_APART + 2},
        {DESCRIPTORS_APART + 4, DESCRIPTORS_APART + 4, 100, 2, DESCRIPTORS_APART + 4},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int said[2];
        size_t got[2] = {0, 0};
        cr_assert_eq(pipe2(said, O_CLOEXEC), 0);
        pid_t child = fork();
        if (child == 0) {
            struct rlimit limit = {cases[i].now, cases[i].most};
            setup.connections_max = cases[i].wanted;
            bool could = setrlimit(RLIMIT_NOFILE, &limit) == 0;
            got[0] = could ? connections_at_most(&setup) : 0;
            getrlimit(RLIMIT_NOFILE, &limit);
            got[1] = limit.rlim_cur;
            (void)!write(said[1], got, sizeof got);
            _exit(0);
        }
        close(said[1]);
        cr_assert_eq(read(said[0], got, sizeof got), (ssize_t)sizeof got);
        close(said[0]);
        waitpid(child, NULL, 0);
        cr_expect_eq(got[0], cases[i].expected, "case %zu: %zu", i, got[0]);
        cr_expect_eq(got[1], cases[i].then, "case %zu: %zu", i, got[1]);
    }
}
