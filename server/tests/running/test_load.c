/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Many clients at once, and too many. Times are only compared with each other, or have generous limits. */

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/server.h"

#define MANY 200

static struct server server;

#define LARGE (8 * 1024 * 1024)
#define PLACES 16

static void put_large(void) {
    char *bytes = calloc(1, LARGE);
    cr_assert_not_null(bytes);
    server_put(&server, "localhost/large.bin", bytes, LARGE);
    free(bytes);
}

static void prepare(void) {
    server_prepare(&server);
    server_put_text(&server, "localhost/page.gmi", "# Page\n");
}

static void end(void) {
    server_end(&server);
}

TestSuite(load, .init = prepare, .fini = end, .timeout = 240);

static struct gemini_client *clients[MANY];

static void connect_many(struct gemini_way way) {
    for (size_t i = 0; i < MANY; i++) {
        clients[i] = gemini_connect(&way);
        cr_assert_not_null(clients[i], "connection %zu", i);
    }
}

static void end_many(void) {
    for (size_t i = 0; i < MANY; i++) {
        gemini_end(clients[i]);
        clients[i] = NULL;
    }
}

Test(load, two_hundred_visitors_at_once) {
    struct gemini_reply replies[MANY] = {0};
    server_start(&server);
    const char *line = with_port("gemini://localhost:PORT/page.gmi\r\n", server.port);
    connect_many(way_to(&server));
    for (size_t i = 0; i < MANY; i++)
        cr_assert(gemini_shake_hands(clients[i]), "handshake %zu", i);
    for (size_t i = 0; i < MANY; i++)
        cr_assert(gemini_send(clients[i], line, strlen(line)));
    for (size_t i = MANY; i-- > 0;) {
        cr_expect_eq(gemini_receive(clients[i], &replies[i], 0), GEMINI_CLOSE_NOTIFY, "reply %zu", i);
        cr_expect(replies[i].bytes && strcmp(replies[i].bytes, "20 text/gemini\r\n# Page\n") == 0, "reply %zu", i);
    }
    end_many();
}

/*
 * Returns the shortest time of several visits, from the end of the handshake to the end of the response, in
 * microseconds.
 */
static long shortest_reply(bool holds_back) {
    const char *line = with_port("gemini://localhost:PORT/page.gmi\r\n", server.port);
    struct gemini_way way = way_to(&server);
    long shortest = LONG_MAX;
    way.holds_back = holds_back;
    for (int i = 0; i < 10; i++) {
        struct gemini_reply reply = {0};
        struct timespec begun, ended;
        struct gemini_client *client = gemini_connect(&way);
        cr_assert(client && gemini_shake_hands(client));
        clock_gettime(CLOCK_MONOTONIC, &begun);
        cr_assert(gemini_send(client, line, strlen(line)));
        cr_assert_eq(gemini_receive(client, &reply, 0), GEMINI_CLOSE_NOTIFY);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        long taken = (ended.tv_sec - begun.tv_sec) * 1000000 + (ended.tv_nsec - begun.tv_nsec) / 1000;
        shortest = taken < shortest ? taken : shortest;
        gemini_reply_end(&reply);
        gemini_end(client);
    }
    return shortest;
}

/*
 * The server sends no data after the client's last handshake message, but it must still acknowledge that message at
 * once.
 */
Test(load, visitors_who_wait_for_an_acknowledgement_need_not_wait_long) {
    server_start(&server);
    long usual = shortest_reply(false), held_back = shortest_reply(true);
    cr_expect_lt(held_back, 10 * usual, "%ld us, and %ld us for the others", held_back, usual);
}

Test(load, half_open_connections_do_not_stop_others) {
    struct gemini_way way = way_to(&server);
    server_start(&server);
    way.patience = 40000;
    connect_many(way);
    for (size_t i = 0; i < MANY; i++) { /* nothing at all, part of a ClientHello, no request, part of a request */
        if (i % 4 == 1)
            cr_assert(gemini_send_raw(clients[i], "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
        if (i % 4 >= 2)
            cr_assert(gemini_shake_hands(clients[i]));
        if (i % 4 == 3)
            cr_assert(gemini_send(clients[i], "gemini://local", 14));
    }
    for (int i = 0; i < 50; i++)
        expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
    for (size_t i = 0; i < MANY; i++) {
        gemini_receive_raw(clients[i]);
        cr_expect_neq(clients[i]->progress, GEMINI_TOO_LATE, "connection %zu stays open for ever", i);
    }
    end_many();
}

Test(load, a_slow_dribble_does_not_live_for_ever) {
    /* Sending a byte now and then gives no more time: the deadline for a request counts from its start. */
    struct gemini_way way = way_to(&server);
    server_start(&server);
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    uint64_t deadline = gemini_now() + 40000;
    bool open = gemini_send(client, "gemini://localhost/", 19);
    while (open && gemini_now() < deadline) {
        usleep(500000);
        open = gemini_send(client, "a", 1);
    }
    cr_expect_not(open, "a request that never ends is waited for");
    gemini_end(client);
}

Test(load, a_visitor_who_does_not_read_does_not_live_for_ever) {
    size_t size = 24 * 1024 * 1024;
    char *bytes = calloc(1, size);
    struct gemini_way way = way_to(&server);
    struct gemini_reply reply = {0};
    cr_assert_not_null(bytes);
    server_put(&server, "localhost/large.bin", bytes, size);
    free(bytes);
    server_start(&server);
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 1000);
    cr_expect(server_logged(&server, "serving"));
    uint64_t deadline = gemini_now() + 150000; /* the data that the client's system accepted counts for 80 s */
    while (!server_logged(&server, "large.bin") && gemini_now() < deadline) /* it is logged at the end */
        continue;
    cr_expect(server_logged(&server, "large.bin"), "a reply that nobody reads is kept for ever");
    gemini_receive(client, &reply, 0);
    cr_expect_neq(reply.progress, GEMINI_CLOSE_NOTIFY);
    gemini_end(client);
}

/* ---- slow readers, wake-ups, deadlines ---- */

static void start_with(const char *text) {
    server_put_settings(&server, "%s", text);
    server_start(&server);
}

/* Requests a large file with a small buffer, so that the server soon notices how fast it is read. */
static struct gemini_client *ask_for_large(unsigned patience) {
    static struct gemini_way way;
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    way = way_to(&server);
    way.patience = patience;
    way.receive_buffer = 4096;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    cr_expect(gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    return client;
}

/* Reads bytes without TLS. Returns whether the connection is still open. */
static bool read_some(struct gemini_client *client, size_t size) {
    char bytes[4096];
    ssize_t got = recv(client->socket, bytes, size, MSG_DONTWAIT);
    return got > 0 || (got < 0 && errno == EAGAIN);
}

/* Returns which of two silent connections is closed first; NULL if neither is within a minute. */
static struct gemini_client *first_to_end(struct gemini_client *one, struct gemini_client *other) {
    uint64_t give_up = gemini_now() + 60000;
    while (gemini_now() < give_up) {
        if (!read_some(one, 1024))
            return one;
        if (!read_some(other, 1024))
            return other;
        usleep(20000);
    }
    return NULL;
}

static void expect_first(const char *timeouts, bool handshake_first) {
    struct gemini_way way = way_to(&server);
    start_with(timeouts);
    struct gemini_client *silent = gemini_connect(&way), *greeted = gemini_connect(&way);
    cr_assert(silent && greeted && gemini_shake_hands(greeted));
    cr_expect_eq(first_to_end(silent, greeted), handshake_first ? silent : greeted, "with %s", timeouts);
    gemini_end(silent);
    gemini_end(greeted);
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
}

/* Each stage of a visit has its own time limit. */
Test(load, each_deadline_is_of_its_own_stage) {
    expect_first("handshake-timeout = 2s\nrequest-timeout = 12s\nreply-timeout = 30s\n", true);
    expect_first("handshake-timeout = 12s\nrequest-timeout = 2s\nreply-timeout = 30s\n", false);
}

/* The limits are 512 bytes per second, and 4 times 2 s for what was read ahead. */
Test(load, slow_readers_are_served_and_slower_ones_are_not) {
    put_large();
    start_with("reply-timeout = 2s\n");
    struct gemini_client *slow = ask_for_large(20000), *slower = ask_for_large(20000);
    uint64_t begun = gemini_now(), ended = 0;
    bool served = true;
    for (unsigned tenth = 0; served && (tenth < 200 || (!ended && gemini_now() < begun + 60000)); tenth++) {
        served = read_some(slow, 100);
        if (!ended && !read_some(slower, 10))
            ended = gemini_now();
        uint64_t next = begun + (tenth + 1) * 100, now = gemini_now();
        usleep(next > now ? (useconds_t)(next - now) * 1000 : 0);
    }
    cr_expect(served, "1000 bytes in a second are not enough, after %lu ms", (unsigned long)(gemini_now() - begun));
    cr_expect_neq(ended, 0, "100 bytes in a second are enough");
    gemini_end(slow);
    gemini_end(slower);
}

/* Every client is answered as long as one worker can accept it. */
Test(load, nobody_waits_while_a_worker_has_a_place) {
    struct gemini_client *readers[PLACES - 1];
    put_large();
    start_with("max-connections = 16\nreply-timeout = 60s\n");
    for (size_t i = 0; i < PLACES - 1; i++) {
        readers[i] = ask_for_large(5000);
        struct gemini_reply reply = {0};
        gemini_receive(readers[i], &reply, 10);
        cr_expect_geq(reply.size, 10, "visitor %zu of %d waits", i + 1, PLACES);
        gemini_reply_end(&reply);
        usleep(150000); /* by now, all workers sleep */
    }
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
    for (size_t i = 0; i < PLACES - 1; i++)
        gemini_end(readers[i]);
}

/* ---- without descriptors ---- */

static uint64_t processor_time_of_all(void) {
    pid_t workers[WORKERS_MAX];
    size_t count = server_workers(&server, workers);
    uint64_t sum = processor_time(server.process);
    for (size_t i = 0; i < count; i++)
        sum += processor_time(workers[i]);
    return sum;
}

static void expect_rest_and_recovery(const pid_t *workers, size_t count) {
    pid_t after[WORKERS_MAX];
    uint64_t before = processor_time_of_all();
    sleep(2);
    uint64_t spent = processor_time_of_all() - before;
    cr_expect_lt(spent, 200, "%lu ms of processor time within 2 s of waiting: it spins", (unsigned long)spent);
    end_many();
    for (int i = 0; i < 20; i++)
        expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
    cr_expect_eq(server_workers(&server, after), count);
    cr_expect_arr_eq(workers, after, count * sizeof *workers, "a worker was replaced");
}

/* Returns the maximum number of descriptors of a process. */
static unsigned long descriptors_of(pid_t process) {
    char path[64], line[128];
    unsigned long most = 0;
    snprintf(path, sizeof path, "/proc/%d/limits", (int)process);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "Max open files %lu", &most) != 1)
        continue;
    fclose(file);
    return most;
}

/*
 * A program that is started by hand usually has a low soft limit. It raises the limit to what its connections need, and
 * no further.
 */
Test(load, the_soft_limit_of_descriptors_is_raised) {
    pid_t workers[WORKERS_MAX];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 1024)
        cr_skip_test("no more than %lu descriptors may be open here", (unsigned long)limit.rlim_max);
    limit.rlim_cur = 256;
    setrlimit(RLIMIT_NOFILE, &limit);
    server_start(&server);
    cr_assert_gt(server_workers(&server, workers), 0);
    cr_expect_gt(descriptors_of(workers[0]), 256);
    cr_expect_lt(descriptors_of(workers[0]), 9000, "650 connections need less");
}

Test(load, few_descriptors_neither_kill_nor_spin) {
    pid_t workers[WORKERS_MAX];
    server.descriptors = 64;
    server_start(&server);
    size_t count = server_workers(&server, workers);
    connect_many(way_to(&server));
    expect_rest_and_recovery(workers, count);
}

static size_t open_descriptors(pid_t process) {
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *folder = opendir(path);
    cr_assert_not_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2; /* "." and ".." */
}

/* Returns the number below which exactly `free` descriptors are free. */
static rlim_t number_above(pid_t process, size_t free) {
    char path[64], target[8];
    for (rlim_t number = 0;; number++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%lu", (int)process, (unsigned long)number);
        if (readlink(path, target, sizeof target) < 0 && free-- == 0)
            return number;
    }
}

/* Starts the server with workers whose limits this test may change, because they keep the same user. */
static void start_with_same_user(void) {
    char content[128];
    snprintf(content, sizeof content, "%s/content", server.folder);
    cr_assert_eq(chmod(content, 0700), 0);
    server.descriptors = 1024;
    server_start(&server);
}

/* From now on, these processes get no new descriptor, or only `more`. */
static void limit_descriptors(const pid_t *workers, size_t count, size_t more) {
    for (size_t i = 0; i < count; i++) {
        struct rlimit limit = {number_above(workers[i], more), 1024};
        cr_assert_eq(prlimit(workers[i], RLIMIT_NOFILE, &limit, NULL), 0);
    }
}

Test(load, accept_without_descriptors_neither_kills_nor_spins) {
    pid_t workers[WORKERS_MAX];
    start_with_same_user();
    size_t count = server_workers(&server, workers);
    limit_descriptors(workers, count, 3);
    connect_many(way_to(&server));
    expect_rest_and_recovery(workers, count);
}

/* Two workers in turn have no descriptors: the others must soon accept new connections. */
Test(load, nobody_waits_for_a_worker_without_descriptors) {
    pid_t workers[WORKERS_MAX];
    start_with_same_user();
    size_t count = server_workers(&server, workers);
    if (count < 2)
        cr_skip_test("there is one worker");
    for (size_t turn = 0; turn < 2; turn++) {
        limit_descriptors(&workers[turn], 1, 0);
        for (int i = 0; i < 20; i++) {
            struct gemini_way way = way_to(&server);
            struct gemini_reply reply = {0};
            const char *line = with_port("gemini://localhost:PORT/page.gmi\r\n", server.port);
            way.patience = 5000;
            cr_expect_eq(gemini_fetch(&way, line, strlen(line), &reply), GEMINI_CLOSE_NOTIFY, "visit %d waits", i);
            cr_expect_eq(reply.status, 20);
            gemini_reply_end(&reply);
            usleep(50000);
        }
        cr_assert_eq(prlimit(workers[turn], RLIMIT_NOFILE, &(struct rlimit){1024, 1024}, NULL), 0);
    }
}

Test(load, a_page_without_a_descriptor_is_a_temporary_failure) {
    pid_t workers[WORKERS_MAX];
    struct gemini_reply reply = {0};
    struct gemini_way way = way_to(&server);
    start_with_same_user();
    size_t count = server_workers(&server, workers);
    const char *line = with_port("gemini://localhost:PORT/page.gmi\r\n", server.port);
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    limit_descriptors(workers, count, 0);
    cr_assert(gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 0);
    expect_well_formed(&reply, "without a descriptor");
    cr_expect(reply.status >= 40 && reply.status <= 44, "answered with %d %s", reply.status, reply.meta);
    gemini_end(client);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(prlimit(workers[i], RLIMIT_NOFILE, &(struct rlimit){1024, 1024}, NULL), 0);
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
}

Test(load, no_descriptor_is_lost) {
    pid_t workers[WORKERS_MAX];
    size_t before[WORKERS_MAX];
    server_start(&server);
    expect_page(&server, "gemini://localhost:PORT/page.gmi", "# Page\n");
    size_t count = server_workers(&server, workers);
    usleep(3000000); /* until lingering connections have ended */
    for (size_t i = 0; i < count; i++)
        before[i] = open_descriptors(workers[i]);
    for (int round = 0; round < 50; round++) {
        ask(&server, "gemini://localhost:PORT/page.gmi");
        ask(&server, "gemini://localhost:PORT/missing.gmi");
        ask(&server, "gemini://user@localhost:PORT/");
        ask(&server, "gemini://localhost:PORT/localhost");
    }
    usleep(3000000);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(open_descriptors(workers[i]), before[i], "worker %zu holds %zu descriptors, not %zu", i,
                     open_descriptors(workers[i]), before[i]);
}
