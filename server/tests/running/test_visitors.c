/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Clients' addresses: the PROXY protocol, what the log contains of them, and how much one address may use. */

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/attack.h"
#include "lib/server.h"

static struct server server;

static void begin(void) {
    server_prepare(&server);
}

static pid_t attackers;
static struct attack_course *course;

static void end(void) {
    if (attackers > 0)
        attack_end(attackers, course);
    attackers = 0;
    server_end(&server);
}

TestSuite(visitors, .init = begin, .fini = end, .timeout = 90);

/*
 * Starts a server with a second port, on which a PROXY protocol header comes first; `more` contains additional
 * settings.
 */
static void start_with(const char *more) {
    server_put_settings_proxied(&server, "%s", more);
    server_start(&server);
}

/* Connects to the proxy port and sends a header, at once or byte by byte. */
static struct gemini_client *come_from(const char *header, size_t size, bool slowly) {
    static struct gemini_way way;
    way = (struct gemini_way){.port = server.proxied_port, .server_name = "localhost", .patience = 5000};
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    for (size_t at = 0; at < size; at += slowly ? 1 : size) {
        gemini_send_raw(client, header + at, slowly ? 1 : size);
        if (slowly)
            usleep(1000);
    }
    return client;
}

static struct gemini_client *come_from_four(const char *address) {
    char header[108];
    int size = snprintf(header, sizeof header, "PROXY TCP4 %s 192.0.2.200 40000 1965\r\n", address);
    return come_from(header, (size_t)size, false);
}

static int ask_as(struct gemini_client *client, const char *path) {
    char line[256];
    struct gemini_reply reply = {0};
    int size = snprintf(line, sizeof line, "gemini://localhost:%u%s\r\n", server.port, path);
    if (!gemini_shake_hands(client) || !gemini_send(client, line, (size_t)size))
        return 0;
    gemini_receive(client, &reply, 0);
    int status = reply.progress == GEMINI_CLOSE_NOTIFY ? reply.status : 0;
    gemini_reply_end(&reply);
    return status;
}

/* Does STATUS= report more than zero of these within ten seconds, for example " displaced"? */
static bool counted(const char *word) {
    uint64_t give_up = gemini_now() + 10000;
    const char *status;
    while (gemini_now() < give_up && (status = server_told(&server, word, 10000))) {
        const char *end = strstr(status, word), *number = end;
        while (number > status && number[-1] >= '0' && number[-1] <= '9')
            number--;
        if (number < end && strtoul(number, NULL, 10) > 0)
            return true;
    }
    return false;
}

Test(visitors, a_proxy_header_tells_where_they_come_from) {
    static const char six[] = "PROXY TCP6 2001:db8:1:2::77 2001:db8::1 40000 1965\r\n";
    static const char two[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x4d\xc0\0\x02\x01\x9c\x40\x07\xad";
    struct gemini_client *client;
    start_with("log-addresses = full\n");
    client = come_from_four("192.0.2.7");
    cr_expect_eq(ask_as(client, "/from-four"), 51);
    gemini_end(client);
    client = come_from(six, sizeof six - 1, true);
    cr_expect_eq(ask_as(client, "/from-six"), 51);
    gemini_end(client);
    client = come_from(two, sizeof two - 1, true);
    cr_expect_eq(ask_as(client, "/from-two"), 51);
    gemini_end(client);
    cr_expect(server_logged(&server, "path=\"/from-four\" address=192.0.2.7\n"));
    cr_expect(server_logged(&server, "path=\"/from-six\" address=2001:db8:1:2::77\n"));
    cr_expect(server_logged(&server, "path=\"/from-two\" address=192.0.2.77\n"));
    /* The other port accepts no header, and sees the real address. */
    expect_status(&server, "gemini://localhost:PORT/plain", 51);
    cr_expect(server_logged(&server, "path=\"/plain\" address=127.0.0.1\n"));
}

Test(visitors, without_a_header_nobody_comes_in_by_a_proxy_port) {
    static const char *const headers[] = {"", "PROXY TCP4 192.0.2.1\r\n", "PROXY TCP5 1 2 3 4\r\n",
                                          "GET / HTTP/1.0\r\n\r\n", "PROXY TCP4 300.0.2.1 192.0.2.2 1 2\r\n"};
    start_with("");
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct gemini_client *client = come_from(headers[i], strlen(headers[i]), false);
        cr_expect_not(gemini_shake_hands(client), "after '%s'", headers[i]);
        cr_expect_eq(client->raw_received, 0, "after '%s' something was said", headers[i]);
        gemini_end(client);
    }
    struct gemini_way way = way_to(&server);
    struct gemini_client *client = gemini_connect(&way);
    gemini_send_raw(client, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 36);
    cr_expect_not(gemini_shake_hands(client), "a header on a usual port");
    gemini_end(client);
}

Test(visitors, the_log_says_of_them_what_it_may) {
    static const struct {
        const char *settings, *shown;
    } ways[] = {{"", NULL}, {"log-addresses = partial\n", " address=192.0.2.0\n"}, {"log-addresses = off\n", NULL}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        start_with(ways[i].settings);
        struct gemini_client *client = come_from_four("192.0.2.7");
        cr_expect_eq(ask_as(client, "/page"), 51);
        gemini_end(client);
        cr_expect(server_logged(&server, "path=\"/page\""));
        char *log = server_log(&server);
        cr_expect_null(strstr(log, "192.0.2.7"), "%s", log);
        cr_expect(ways[i].shown ? strstr(log, ways[i].shown) != NULL : strstr(log, "address=") == NULL, "%s", log);
        free(log);
        cr_assert_eq(server_stop(&server, SIGTERM), 0);
        char path[160];
        snprintf(path, sizeof path, "%s/log", server.folder);
        unlink(path);
    }
}

/* Finds the number, of 16 digits, that represents an address in the log. */
static void logged_number(const char *address, const char *path, char number[static 17]) {
    char mark[64];
    struct gemini_client *client = come_from_four(address);
    cr_expect_eq(ask_as(client, path), 51);
    gemini_end(client);
    snprintf(mark, sizeof mark, "path=\"%s\" address=", path);
    cr_assert(server_logged(&server, mark));
    char *log = server_log(&server);
    snprintf(number, 17, "%s", strstr(log, mark) + strlen(mark));
    free(log);
}

Test(visitors, a_hashed_address_is_known_again_until_the_next_start) {
    char first[17], again[17], other[17], later[17];
    start_with("log-addresses = hashed\n");
    logged_number("192.0.2.7", "/1", first);
    logged_number("192.0.2.7", "/2", again);
    logged_number("192.0.2.8", "/3", other);
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    start_with("log-addresses = hashed\n");
    logged_number("192.0.2.7", "/4", later);
    cr_expect_str_eq(first, again);
    cr_expect_str_neq(first, other);
    cr_expect_str_neq(first, later, "the salt was kept");
}

Test(visitors, one_address_has_so_many_connections_and_no_more) {
    struct gemini_client *clients[8];
    start_with("max-connections-per-address = 4\nlog-addresses = full\n");
    for (int i = 0; i < 8; i++) {
        clients[i] = come_from_four("192.0.2.7");
        bool admitted = gemini_shake_hands(clients[i]);
        cr_expect_eq(admitted, i < 4, "connection %d", i);
    }
    cr_expect(server_logged(&server, "connection end=refused address=192.0.2.7"));
    /* Other addresses are still accepted, and a client that leaves makes room for another. */
    struct gemini_client *other = come_from_four("192.0.2.8");
    cr_expect_eq(ask_as(other, "/"), 20);
    gemini_end(other);
    for (int i = 0; i < 8; i++)
        gemini_end(clients[i]);
    usleep(300000);
    other = come_from_four("192.0.2.7");
    cr_expect_eq(ask_as(other, "/"), 20);
    gemini_end(other);
}

/* A client that has its response no longer counts, even while it keeps its side open. */
Test(visitors, who_has_a_response_takes_no_place) {
    struct gemini_client *clients[16];
    start_with("max-connections-per-address = 4\n");
    for (int i = 0; i < 16; i++) {
        clients[i] = come_from_four("192.0.2.7");
        cr_expect_eq(ask_as(clients[i], "/"), 20, "client %d", i);
        usleep(20000);
    }
    for (int i = 0; i < 16; i++)
        gemini_end(clients[i]);
}

/* Connections to a worker that was killed no longer count. */
Test(visitors, what_a_dead_worker_had_counted_is_forgotten) {
    struct gemini_client *clients[4];
    pid_t workers[WORKERS_MAX];
    start_with("max-connections-per-address = 4\n");
    for (int i = 0; i < 4; i++) {
        clients[i] = come_from_four("192.0.2.7");
        cr_expect(gemini_shake_hands(clients[i]), "connection %d", i);
    }
    size_t count = server_workers(&server, workers);
    for (size_t i = 0; i < count; i++)
        kill(workers[i], SIGKILL);
    for (int i = 0; i < 4; i++)
        gemini_end(clients[i]);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n"); /* they are replaced */
    for (int i = 0; i < 4; i++) {
        clients[i] = come_from_four("192.0.2.7");
        cr_expect(gemini_shake_hands(clients[i]), "connection %d after it", i);
    }
    for (int i = 0; i < 4; i++)
        gemini_end(clients[i]);
}

/* Without a proxy, the address of the connection counts. */
Test(visitors, one_address_is_limited_on_a_usual_port, .timeout = 120) {
    char listen_option[64];
    struct gemini_client *clients[8];
    int good = 0, slowed = 0;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
        cr_skip_test("no network of its own can be made");
    cr_assert_eq(system("ip link set lo up && ip address add 192.0.2.1/32 dev lo"), 0);
    start_with("max-connections-per-address = 4\nmax-requests-per-minute = 5\n");
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    snprintf(listen_option, sizeof listen_option, "--listen=192.0.2.1:%u", server.port);
    server.arguments[0] = listen_option;
    server_start(&server);
    struct gemini_way way = way_to(&server);
    way.address = way.source = "192.0.2.1";
    for (int i = 0; i < 8; i++) {
        clients[i] = gemini_connect(&way);
        cr_assert_not_null(clients[i]);
        cr_expect_eq(gemini_shake_hands(clients[i]), i < 4, "connection %d", i);
    }
    for (int i = 0; i < 8; i++)
        gemini_end(clients[i]);
    usleep(300000);
    for (int i = 0; i < 12; i++) {
        int status = ask_by(&way, "gemini://localhost:PORT/")->status;
        good += status == 20;
        slowed += status == 44;
    }
    cr_expect_eq(good + slowed, 12);
    cr_expect(good >= 5 && good <= 10, "%d requests were answered", good);
}

Test(visitors, row_17_one_address_asks_so_often_and_no_more) {
    start_with("max-requests-per-minute = 5\n");
    int good = 0, slowed = 0;
    for (int i = 0; i < 12; i++) {
        struct gemini_client *client = come_from_four("192.0.2.7");
        int status = ask_as(client, "/");
        good += status == 20;
        slowed += status == 44;
        gemini_end(client);
    }
    cr_expect_eq(good + slowed, 12);
    /* A minute may have passed meanwhile. */
    cr_expect(good >= 5 && good <= 10, "%d requests were answered", good);
    struct gemini_client *other = come_from_four("192.0.2.8");
    cr_expect_eq(ask_as(other, "/"), 20);
    gemini_end(other);
}

/* Returns how many of `count` handshakes from one address succeed. */
static int handshakes_of(const char *address, int count) {
    int good = 0;
    for (int i = 0; i < count; i++) {
        struct gemini_client *client = come_from_four(address);
        good += gemini_shake_hands(client);
        gemini_end(client);
    }
    return good;
}

Test(visitors, one_address_shakes_hands_so_often_and_no_more) {
    start_with("max-handshakes-per-minute = 5\nlog-addresses = full\n");
    int good = handshakes_of("192.0.2.7", 12);
    cr_expect(good >= 5 && good <= 10, "%d handshakes", good);
    cr_expect(server_logged(&server, "connection end=throttled address=192.0.2.7"));
    cr_expect(counted(" throttled"));
    cr_expect_eq(handshakes_of("192.0.2.8", 1), 1);
    /* 20 for all of 192.0.2.0/24. */
    int others = 0;
    for (int i = 10; i < 20; i++) {
        char address[32];
        snprintf(address, sizeof address, "192.0.2.%d", i);
        others += handshakes_of(address, 4);
    }
    cr_expect(others >= 10 && others <= 30, "%d handshakes of the others in its /24", others);
    cr_expect_eq(handshakes_of("198.51.100.1", 1), 1);
}

/*
 * With the defaults, a flood from one address soon ends. A client that reads many pages, or a polite crawler, does not
 * notice the limit.
 */
Test(visitors, a_flood_is_stopped_by_default) {
    start_with("");
    for (int i = 0; i < 100; i++) {
        struct gemini_client *client = come_from_four("192.0.2.8");
        cr_assert_eq(ask_as(client, "/"), 20, "page %d", i);
        gemini_end(client);
    }
    int good = 0, count = 0;
    uint64_t end = gemini_now() + 40000;
    for (; count < 1500 && good == count && gemini_now() < end; count++)
        good += handshakes_of("192.0.2.7", 1);
    cr_expect_neq(good, count, "%d handshakes in %u s", good, 40 - (unsigned)((end - gemini_now()) / 1000));
    cr_expect_geq(good, 600);
    struct gemini_client *client = come_from_four("192.0.2.8");
    cr_expect_eq(ask_as(client, "/"), 20);
    gemini_end(client);
}

static struct gemini_client *come_from_six(const char *address) {
    char header[128];
    int size = snprintf(header, sizeof header, "PROXY TCP6 %s 2001:db8::1 40000 1965\r\n", address);
    return come_from(header, (size_t)size, false);
}

#define CROWD 64

/*
 * Returns how many connections from one prefix are accepted while they stay open. The format contains a number from 0
 * on.
 */
static int admitted(bool six, const char *format, int count) {
    struct gemini_client *clients[CROWD];
    int good = 0;
    for (int i = 0; i < count; i++) {
        char address[64];
        snprintf(address, sizeof address, format, i);
        clients[i] = six ? come_from_six(address) : come_from_four(address);
        good += gemini_shake_hands(clients[i]);
    }
    for (int i = 0; i < count; i++)
        gemini_end(clients[i]);
    usleep(300000);
    return good;
}

Test(visitors, a_prefix_has_so_many_connections_and_no_more) {
    start_with("max-connections-per-address = 2\n");
    cr_expect_eq(admitted(true, "2001:db8:1:2::%x", 20), 2, "an IPv6 /64");
    cr_expect_eq(admitted(true, "2001:db8:1:2%02x::1", 20), 8, "an IPv6 /56");
    cr_expect_eq(admitted(true, "2001:db8:1:%x00::1", 30), 16, "an IPv6 /48");
    cr_expect_eq(admitted(true, "2001:db8:%x::1", 30), 30, "many IPv6 /48s");
    cr_expect_eq(admitted(false, "192.0.2.%d", 20), 8, "an IPv4 /24");
    cr_expect_eq(admitted(false, "192.0.%d.1", 20), 20, "many IPv4 /24s");
}

/* Anybody who reaches a port for proxies can claim any address, so this one is exempt from nothing. */
Test(visitors, an_address_of_this_machine_is_proven_by_the_connection_alone) {
    start_with("max-connections-per-address = 2\nmax-requests-per-minute = 4\n");
    cr_expect_eq(admitted(false, "127.0.0.1", 10), 2);
    cr_expect_eq(admitted(true, "::1", 10), 2);
    for (int i = 0; i < 10; i++)
        expect_status(&server, "gemini://localhost:PORT/", 20);
}

/* Connections from this machine have their own limit, so that others can still connect. */
Test(visitors, this_machine_has_so_many_places_and_no_more) {
    size_t size = 4 * 1024 * 1024;
    char *bytes = calloc(1, size), line[64];
    struct gemini_client *crowd[CROWD];
    int answered = 0;
    cr_assert_not_null(bytes);
    server_put(&server, "localhost/large.bin", bytes, size);
    free(bytes);
    start_with(
        "max-connections = 32\nmax-connections-from-loopback = 16\nreply-timeout = 60s\nhandshake-timeout = 60s\n");
    snprintf(line, sizeof line, "gemini://localhost:%u/large.bin\r\n", server.port);
    struct gemini_way way = way_to(&server);
    way.patience = 1000;
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = gemini_connect(&way);
        cr_assert_not_null(crowd[i]);
        answered += i < 24 && gemini_shake_hands(crowd[i]) && gemini_send(crowd[i], line, strlen(line));
    }
    cr_expect_geq(answered, 16);
    for (int i = 0; i < 10; i++) {
        struct gemini_client *client = come_from_four("192.0.2.7");
        cr_expect_eq(ask_as(client, "/"), 20, "visitor %d", i);
        gemini_end(client);
    }
    for (int i = 0; i < CROWD; i++)
        gemini_end(crowd[i]);
}

/* Starts many clients on this machine, for the duration of the attack; all have connected when this returns. */
static void crowd_of_this_machine(struct attack *attack) {
    attack->port = server.port;
    attackers = attack_begin(attack, &course);
    uint64_t give_up = gemini_now() + 20000;
    while (course->arrived < attack->crowd / 3 && gemini_now() < give_up)
        usleep(10000);
}

/*
 * Clients of an onion service cannot be distinguished. One that keeps opening more connections than allowed makes
 * others wait, but excludes nobody.
 */
Test(visitors, a_crowd_of_this_machine_keeps_none_of_it_out) {
    static struct attack attack = {
        .crowd = 60, .most = 100000, .duration = 5000, .point = POINT_GREETED, .deed = DEED_HANG_UP};
    int visits = 0;
    start_with("max-connections = 128\nmax-connections-from-loopback = 16\n");
    crowd_of_this_machine(&attack);
    for (; !course->over || visits < 10; visits++)
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

/* A response that is being read continues, however many clients on this machine request one and read almost nothing. */
Test(visitors, a_crowd_of_this_machine_does_not_cut_off_who_reads) {
    static struct attack attack = {
        .crowd = 60, .most = 100000, .duration = 12000, .point = POINT_READING, .deed = DEED_SIP};
    size_t size = 24 * 1024 * 1024, read = 0;
    char *bytes = calloc(1, size), line[64], piece[4096];
    cr_assert_not_null(bytes);
    server_put(&server, "localhost/large.bin", bytes, size);
    free(bytes);
    start_with("max-connections = 128\nmax-connections-from-loopback = 16\n");
    snprintf(line, sizeof line, "gemini://localhost:%u/large.bin\r\n", server.port);
    struct gemini_way way = way_to(&server);
    way.receive_buffer = 32768;
    struct gemini_client *reader = gemini_connect(&way);
    cr_assert(reader && gemini_shake_hands(reader) && gemini_send(reader, line, strlen(line)));
    attack.request = line;
    crowd_of_this_machine(&attack);
    bool there = true;
    for (; there && !course->over; usleep(50000)) {
        ssize_t got = recv(reader->socket, piece, sizeof piece, MSG_DONTWAIT);
        there = got > 0 || (got < 0 && errno == EAGAIN);
        read += got > 0 ? (size_t)got : 0;
    }
    cr_expect(there, "ended after %zu bytes", read);
    gemini_end(reader);
}

/* Four connections at once are normal: they are not closed before those of an attacker with one per network. */
Test(visitors, some_connections_at_once_are_no_reason_to_go) {
    static struct attack attack = {.crowd = 120,
                                   .most = 100000,
                                   .duration = 60000,
                                   .point = POINT_GREETED,
                                   .proxied_addresses = 20000,
                                   .proxied_prefixes = 20000};
    struct gemini_client *clients[4];
    start_with("max-connections = 64\n");
    attack.port = server.proxied_port;
    attackers = attack_begin(&attack, &course);
    sleep(3); /* by then, the first ones have been silent for long */
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++) {
            clients[i] = come_from_four("192.0.2.7");
            usleep(20000);
        }
        for (int i = 0; i < 4; i++) {
            cr_expect_eq(ask_as(clients[i], "/"), 20, "round %d, client %d", round, i);
            usleep(20000);
        }
        for (int i = 0; i < 4; i++)
            gemini_end(clients[i]);
    }
}

/* New workers must remember how much of its rate an address has used. */
Test(visitors, a_reload_forgets_no_rate) {
    int status = 20;
    start_with("max-requests-per-minute = 5\n");
    for (int i = 0; i < 20 && status == 20; i++) {
        struct gemini_client *client = come_from_four("192.0.2.7");
        status = ask_as(client, "/");
        gemini_end(client);
    }
    cr_assert_eq(status, 44);
    for (int reloads = 0; reloads < 3; reloads++) {
        cr_assert_not_null(server_reload(&server));
        usleep(500000); /* the previous workers are gone */
        struct gemini_client *client = come_from_four("192.0.2.7");
        cr_expect_eq(ask_as(client, "/"), 44, "after reload %d", reloads + 1);
        gemini_end(client);
    }
}

Test(visitors, all_of_one_subscriber_share) {
    static const char one[] = "PROXY TCP6 2001:db8:1:2::1 2001:db8::1 40000 1965\r\n";
    static const char neighbour[] = "PROXY TCP6 2001:db8:1:2:ffff::2 2001:db8::1 40000 1965\r\n";
    static const char stranger[] = "PROXY TCP6 2001:db8:1:3::1 2001:db8::1 40000 1965\r\n";
    start_with("max-connections-per-address = 1\n");
    struct gemini_client *first = come_from(one, sizeof one - 1, false);
    cr_expect(gemini_shake_hands(first));
    struct gemini_client *second = come_from(neighbour, sizeof neighbour - 1, false);
    cr_expect_not(gemini_shake_hands(second), "the same /64");
    struct gemini_client *third = come_from(stranger, sizeof stranger - 1, false);
    cr_expect(gemini_shake_hands(third));
    gemini_end(first);
    gemini_end(second);
    gemini_end(third);
}

/* Opens more silent connections than allowed: each is closed for the next one. */
static void crowd_in(struct gemini_client **crowd) {
    struct gemini_way way = way_to(&server);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = gemini_connect(&way);
        cr_assert_not_null(crowd[i]);
    }
}

static void crowd_out(struct gemini_client **crowd) {
    for (int i = 0; i < CROWD; i++)
        gemini_end(crowd[i]);
}

Test(visitors, a_crowd_that_says_nothing_keeps_nobody_out) {
    struct gemini_client *crowd[CROWD];
    start_with("max-connections = 8\nhandshake-timeout = 60s\n");
    crowd_in(crowd);
    for (int i = 0; i < 20; i++) {
        struct gemini_client *client = come_from_four("192.0.2.7");
        cr_expect_eq(ask_as(client, "/"), 20, "visitor %d", i);
        gemini_end(client);
    }
    cr_expect(counted(" displaced"));
    crowd_out(crowd);
}

Test(visitors, whose_request_is_being_answered_stays) {
    size_t size = 24 * 1024 * 1024;
    char *bytes = calloc(1, size);
    struct gemini_client *crowd[CROWD];
    struct gemini_reply reply = {0};
    char line[64];
    cr_assert_not_null(bytes);
    server_put(&server, "localhost/large.bin", bytes, size);
    free(bytes);
    start_with("max-connections = 8\nhandshake-timeout = 60s\n");
    snprintf(line, sizeof line, "gemini://localhost:%u/large.bin\r\n", server.port);
    struct gemini_client *reader = come_from_four("192.0.2.7");
    cr_assert(gemini_shake_hands(reader) && gemini_send(reader, line, strlen(line)));
    gemini_receive(reader, &reply, 1000);
    crowd_in(crowd);
    cr_expect_eq(gemini_receive(reader, &reply, 0), GEMINI_CLOSE_NOTIFY);
    cr_expect_eq(reply.body_size, size);
    gemini_reply_end(&reply);
    gemini_end(reader);
    crowd_out(crowd);
}
