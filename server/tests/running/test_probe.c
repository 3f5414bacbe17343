/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `vitrine probe`: what it reports to an engine, and that nobody else can use it to stay out of the log. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/server.h"

static struct server server;
static char output[8192], four[64], six[64];

static void begin(void) {
    server_prepare(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(probe, .init = begin, .fini = end, .timeout = 90);

/* Listens on 127.0.0.1 and ::1, and on a port with PROXY headers; `more` contains additional settings. */
static void start_with(const char *more) {
    server_put_settings_proxied(&server, "log-addresses = full\n%s", more);
    snprintf(four, sizeof four, "--listen=127.0.0.1:%u", server.port);
    snprintf(six, sizeof six, "--listen=[::1]:%u", server.port);
    server.arguments[0] = four;
    server.arguments[1] = six;
    server_start(&server);
}

static int probe_at(const char *address, uint16_t port, const char *host) {
    char whole[64];
    snprintf(whole, sizeof whole, "%s:%u", address, port);
    return run_program(output, sizeof output, (const char *const[]){"probe", "--address", whole, host, NULL});
}

static void expect_sentence(int status, int expected, const char *about) {
    const char *end_of_line = strchr(output, '\n');
    cr_expect_eq(status, expected, "exit status %d: %s", status, output);
    cr_expect(end_of_line && end_of_line[1] == '\0', "not one line: '%s'", output);
    cr_expect(strstr(output, about), "'%s' is not in it: %s", about, output);
}

/* ---- results ---- */

Test(probe, a_page_is_0) {
    start_with("");
    cr_expect_eq(probe_at("127.0.0.1", server.port, "localhost"), 0, "%s", output);
    cr_expect_str_eq(output, "");
    cr_expect_eq(probe_at("[::1]", server.port, "localhost"), 0, "%s", output);
}

/* Statuses that authors choose for a page are not faults of the server. */
Test(probe, what_shows_a_fault_is_1_and_other_statuses_are_0) {
    static const struct {
        const char *rule;
        int expected;
    } cases[] = {{"10 What do you look for?", 0},
                 {"20", 0},
                 {"30 /elsewhere.gmi", 0},
                 {"40", 1},
                 {"44 10", 1},
                 {"50", 0},
                 {"51", 0},
                 {"52", 0},
                 {"53", 1},
                 {"59", 1},
                 {"60 A member?", 0},
                 {"62", 0}};
    start_with("");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char rules[128], status[3] = "";
        memcpy(status, cases[i].rule, 2);
        if (strcmp(status, "20") == 0)
            snprintf(rules, sizeof rules, "# none\n");
        else
            snprintf(rules, sizeof rules, "index.gmi: %s\n", cases[i].rule);
        server_put_text(&server, "localhost/.meta", rules);
        int result = probe_at("127.0.0.1", server.port, "localhost");
        if (cases[i].expected == 0)
            cr_expect(result == 0 && output[0] == '\0', "%s: %d, %s", cases[i].rule, result, output);
        else
            expect_sentence(result, 1, status);
    }
    expect_sentence(probe_at("127.0.0.1", server.port, "elsewhere.example"), 1, "53");
}

Test(probe, a_capsule_of_members_is_healthy) {
    server_put_text(&server, "localhost/.access", "");
    start_with("");
    expect_status(&server, "gemini://localhost:PORT/", 60);
    cr_expect_eq(probe_at("127.0.0.1", server.port, "localhost"), 0, "%s", output);
    cr_expect_str_eq(output, "");
}

Test(probe, where_nothing_listens_it_is_69) {
    expect_sentence(probe_at("127.0.0.1", server.port, "localhost"), EX_UNAVAILABLE, "Connection refused");
}

/* Starts a process that accepts a connection, sends `says` or nothing, and waits. */
static pid_t stand_in(uint16_t port, const char *says) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 8), 0);
    pid_t process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int client = accept(listener, NULL, NULL);
        send(client, says, strlen(says), MSG_NOSIGNAL);
        pause();
    }
    close(listener);
    return process;
}

Test(probe, what_is_no_gemini_server_is_76) {
    pid_t other = stand_in(server.port, "220 mail.example ESMTP\r\n");
    expect_sentence(probe_at("127.0.0.1", server.port, "localhost"), EX_PROTOCOL, "no TLS 1.3 handshake");
    kill(other, SIGKILL);
}

/* The kernel accepts connections even if all workers hang, so connecting alone does not show it. */
Test(probe, a_server_that_hangs_is_69_in_eight_seconds) {
    pid_t workers[WORKERS_MAX];
    start_with("");
    size_t count = server_workers(&server, workers);
    for (size_t i = 0; i < count; i++)
        kill(workers[i], SIGSTOP);
    uint64_t begun = gemini_now();
    int status = probe_at("127.0.0.1", server.port, "localhost");
    cr_expect_geq(gemini_now() - begun, 7500);
    for (size_t i = 0; i < count; i++)
        kill(workers[i], SIGCONT);
    expect_sentence(status, EX_UNAVAILABLE, "8 seconds");
}

Test(probe, wrong_usage_is_64) {
    static const char *const uses[][5] = {{"probe"},
                                          {"probe", "one", "two"},
                                          {"probe", "--address", "localhost", "localhost"},
                                          {"probe", "--address", "127.0.0.1:0", "localhost"},
                                          {"probe", "a b"},
                                          {"probe", "a/b"}};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        const char *arguments[6] = {0};
        memcpy(arguments, uses[i], sizeof uses[i]);
        expect_sentence(run_program(output, sizeof output, arguments), EX_USAGE, " ");
    }
}

/* ---- the log, and who stays out of it ---- */

/* Computes the probe's address from the description in probe_address.h. */
static const char *address_of_probe(void) {
    static char address[INET_ADDRSTRLEN];
    char boot_id[64] = "";
    uint8_t input[32 + sizeof "vitrine probe"], digest[SHA256_DIGEST_LENGTH];
    uint64_t hash;
    size_t digits = 0;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    cr_assert(file && fgets(boot_id, sizeof boot_id, file));
    fclose(file);
    for (const char *at = boot_id; *at && digits < 32; at++) {
        if (*at != '-')
            input[digits++] = (uint8_t)*at;
    }
    memcpy(input + 32, "vitrine probe", sizeof "vitrine probe");
    SHA256(input, sizeof input, digest);
    memcpy(&hash, digest, sizeof hash);
    snprintf(address, sizeof address, "127.%u.%u.%u", (unsigned)(1 + hash % 254), (unsigned)(hash >> 16 & 255),
             (unsigned)(1 + (hash >> 24) % 254));
    return address;
}

static bool log_has(const char *text) {
    char *log = server_log(&server);
    bool has = strstr(log, text) != NULL;
    free(log);
    return has;
}

Test(probe, its_visits_are_in_the_log_only_if_they_fail) {
    start_with("");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(probe_at("127.0.0.1", server.port, "localhost"), 0, "%s", output);
    cr_expect_eq(probe_at("127.0.0.1", server.port, "elsewhere.example"), 1);
    expect_status(&server, "gemini://localhost:PORT/last.gmi", 51);
    cr_expect(server_logged(&server, "last.gmi"));
    cr_expect(log_has("host=\"elsewhere.example\""));
    cr_expect_not(log_has("host=\"localhost\" path=\"/\""), "a successful probe is in the log");
}

/*
 * The attack: a remote client connects through a proxy on this machine. Some proxies, such as I2P routers, connect from
 * an address in 127.0.0.0/8 that depends on the client, and PROXY headers contain what clients want. The client cannot
 * have the probe's address unless it guesses it; a header with that address does not count.
 */
Test(probe, nobody_else_stays_out_of_the_log) {
    static const char *const sources[] = {NULL, "127.0.0.1", "127.0.0.2", "127.77.88.99", "127.19.65.1"};
    start_with("");
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        char logged[128];
        struct gemini_way way = way_to(&server);
        way.source = sources[i];
        cr_expect_eq(ask_by(&way, "gemini://localhost:PORT/")->status, 20);
        snprintf(logged, sizeof logged, "path=\"/\" address=%s\n", sources[i] ? sources[i] : "127.0.0.1");
        cr_expect(server_logged(&server, logged), "%s", logged);
    }
}

Test(probe, a_proxy_header_with_its_address_does_not_keep_out_of_the_log) {
    char header[108], line[128], logged[128];
    struct gemini_reply reply = {0};
    start_with("");
    struct gemini_way way = {.port = server.proxied_port, .server_name = "localhost"};
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    snprintf(header, sizeof header, "PROXY TCP4 %s 192.0.2.200 40000 1965\r\n", address_of_probe());
    snprintf(line, sizeof line, "gemini://localhost:%u/\r\n", server.port);
    cr_assert(gemini_send_raw(client, header, strlen(header)) && gemini_shake_hands(client) &&
              gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.status, 20);
    gemini_reply_end(&reply);
    gemini_end(client);
    snprintf(logged, sizeof logged, "path=\"/\" address=%s\n", address_of_probe());
    cr_expect(server_logged(&server, logged), "%s", logged);
}

/* ---- connections from this machine ---- */

/* Opens connections that stay, from an address of this machine. */
static void stay(struct gemini_client **clients, size_t count, const char *source) {
    static struct gemini_way way;
    way = way_to(&server);
    way.source = source;
    for (size_t i = 0; i < count; i++) {
        clients[i] = gemini_connect(&way);
        cr_assert_not_null(clients[i]);
        cr_assert(gemini_shake_hands(clients[i]));
    }
}

static void leave(struct gemini_client **clients, size_t count) {
    for (size_t i = 0; i < count; i++)
        gemini_end(clients[i]);
}

/* All connections allowed for this machine are in use by busy clients: a probe need not wait for them. */
Test(probe, it_is_answered_while_all_places_for_this_machine_are_taken) {
    struct gemini_client *busy[3];
    server_put(&server, "localhost/large.bin", calloc(1, 24 << 20), 24 << 20);
    start_with("max-connections-from-loopback = 3\n");
    stay(busy, 3, NULL);
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    for (size_t i = 0; i < 3; i++)
        cr_assert(gemini_send(busy[i], line, strlen(line)));
    for (int i = 0; i < 8; i++)
        cr_expect_eq(probe_at("127.0.0.1", server.port, "localhost"), 0, "%s", output);
    for (size_t i = 0; i < 3; i++) {
        struct gemini_reply reply = {0};
        gemini_receive(busy[i], &reply, 0);
        cr_expect_eq(reply.body_size, 24 << 20, "a probe ended a visit after %zu bytes", reply.body_size);
        gemini_reply_end(&reply);
    }
    leave(busy, 3);
}

/* A client with its address may have four additional connections; after that, it counts as a client of this machine. */
Test(probe, its_address_is_worth_no_more_than_four_places) {
    struct gemini_client *many[8], *one[1];
    start_with("max-connections-from-loopback = 4\n");
    stay(many, 8, address_of_probe());
    /*
     * All connections allowed for this machine are in use now: the next one from it closes a silent one that is old
     * enough.
     */
    usleep(2500000);
    stay(one, 1, "127.0.0.1");
    size_t ended = 0;
    for (size_t i = 0; i < 8; i++) {
        char byte;
        ended += recv(many[i]->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 && errno != EAGAIN;
    }
    cr_expect_eq(ended, 1, "%zu of 8 were ended", ended);
    leave(many, 8);
    leave(one, 1);
}
