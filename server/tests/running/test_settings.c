/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The settings file, and reloading it while clients are being served. */

#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/server.h"

#define LARGE (24 * 1024 * 1024)

static struct server server;

static void begin(void) {
    server_prepare(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(settings, .init = begin, .fini = end, .timeout = 90);

static void start_with(const char *text) {
    server_put_settings(&server, "%s", text);
    server_start(&server);
}

Test(settings, faults_are_named_with_file_and_line) {
    static const struct {
        const char *text;
        unsigned line;
        const char *about;
    } faults[] = {
        {"no-such-key = 1\n", 1, "no-such-key"},      {"\n# comment\nmin-tls = 1.1\n", 3, "1.1"},
        {"advertised-ports = 70000\n", 1, "70000"},   {"log-addresses = some\n", 1, "some"},
        {"max-connections = -1\n", 1, "-1"},          {"language = x_y\n", 1, "x_y"},
        {"min-tls = 1.2\nmin-tls = 1.3\n", 2, "min"}, {"handshake-timeout = soon\n", 1, "soon"},
    };
    char output[4096], listen[64], content[128], state[128], place[160];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", server.port);
    snprintf(content, sizeof content, "%s/content", server.folder);
    snprintf(state, sizeof state, "%s/state", server.folder);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        server_put_settings(&server, "%s", faults[i].text);
        const char *arguments[] = {"serve",   "--listen", listen,       "--content",     content,
                                   "--state", state,      "--settings", server.settings, NULL};
        cr_expect_eq(run_program(output, sizeof output, arguments), EX_CONFIG, "%s", output);
        snprintf(place, sizeof place, "%s\":%u: ", server.settings, faults[i].line);
        cr_expect(strstr(output, place) && strstr(output, faults[i].about), "'%s' says: %s", faults[i].text, output);
    }
    const char *arguments[] = {"serve",   "--listen", listen,       "--content",        content,
                               "--state", state,      "--settings", "/nowhere/at.conf", NULL};
    cr_expect_eq(run_program(output, sizeof output, arguments), EX_NOINPUT);
    cr_expect(strstr(output, "/nowhere/at.conf"), "%s", output);
}

Test(settings, row_18_advertised_ports_are_served_too) {
    start_with("advertised-ports = 1965 7070\n");
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    expect_page(&server, "gemini://localhost/", "# Start\n");
    expect_page(&server, "gemini://localhost:7070/", "# Start\n");
    expect_status(&server, "gemini://localhost:7071/", 53);
}

Test(settings, the_oldest_tls_version_can_be_1_3) {
    start_with("min-tls = 1.3\n");
    struct gemini_way way = way_to(&server);
    way.newest_version = TLS1_2_VERSION;
    struct gemini_client *client = gemini_connect(&way);
    cr_assert_not_null(client);
    cr_expect_not(gemini_shake_hands(client), "TLS 1.2 was spoken");
    gemini_end(client);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

Test(settings, a_reload_reads_settings_and_capsules_anew) {
    start_with("");
    expect_status(&server, "gemini://localhost:7070/", 53);
    expect_status(&server, "gemini://new.example:PORT/", 53);
    server_put_text(&server, "new.example/index.gmi", "# New\n");
    server_put_settings(&server, "advertised-ports = 7070\n");
    server_reload(&server);
    expect_page(&server, "gemini://localhost:7070/", "# Start\n");
    expect_page(&server, "gemini://new.example:PORT/", "# New\n");
    cr_expect(server_logged(&server, "identity new.example: made"));
}

Test(settings, what_is_wrong_leaves_everything_as_it_was) {
    start_with("advertised-ports = 7070\n");
    server_put_settings(&server, "advertised-ports = 8080\nno-such-key = 1\n");
    cr_expect(strstr(server_reload(&server), "STATUS=Not reloaded"));
    expect_page(&server, "gemini://localhost:7070/", "# Start\n");
    expect_status(&server, "gemini://localhost:8080/", 53);
    cr_expect(server_logged(&server, "vitrine.conf\":2: "));
    server_put_settings(&server, "advertised-ports = 8080\n");
    cr_expect_null(strstr(server_reload(&server), "Not reloaded"));
    expect_page(&server, "gemini://localhost:8080/", "# Start\n");
}

Test(settings, no_connection_is_lost_by_reloads) {
    struct gemini_reply reply = {0};
    struct gemini_client *waiting[10];
    char *bytes = calloc(1, LARGE);
    server_put(&server, "localhost/large.bin", bytes, LARGE);
    free(bytes);
    start_with("");
    struct gemini_way way = way_to(&server);
    struct gemini_client *client = gemini_connect(&way);
    const char *line = with_port("gemini://localhost:PORT/large.bin\r\n", server.port);
    cr_assert(client && gemini_shake_hands(client) && gemini_send(client, line, strlen(line)));
    gemini_receive(client, &reply, 100000);
    for (int i = 0; i < 10; i++) { /* some before, some after their handshake */
        waiting[i] = gemini_connect(&way);
        cr_assert(waiting[i] && (i % 2 || gemini_shake_hands(waiting[i])));
    }
    for (int round = 0; round < 20; round++) {
        server_reload(&server);
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    }
    for (int i = 0; i < 10; i++) {
        struct gemini_reply page = {0};
        const char *start = with_port("gemini://localhost:PORT/\r\n", server.port);
        cr_expect((i % 2 == 0 || gemini_shake_hands(waiting[i])) && gemini_send(waiting[i], start, strlen(start)));
        cr_expect_eq(gemini_receive(waiting[i], &page, 0), GEMINI_CLOSE_NOTIFY, "connection %d was lost", i);
        cr_expect_eq(page.status, 20);
        gemini_reply_end(&page);
        gemini_end(waiting[i]);
    }
    gemini_receive(client, &reply, 0);
    cr_expect_eq(reply.progress, GEMINI_CLOSE_NOTIFY, "the reply was broken off after %zu bytes", reply.size);
    cr_expect_eq(reply.body_size, LARGE);
    gemini_end(client);
    gemini_reply_end(&reply);
}

/* ---- stop-delay, workers, log-requests ---- */

Test(settings, a_stop_waits_for_its_delay_and_serves_meanwhile) {
    start_with("stop-delay = 4s\n");
    uint64_t begun = gemini_now();
    kill(server.process, SIGTERM);
    cr_assert(server_logged(&server, "told to stop"));
    cr_expect_not_null(server_told(&server, "EXTEND_TIMEOUT_USEC=14000000", 5000), "systemd would kill it first");
    while (gemini_now() - begun < 2500)
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    cr_expect_eq(server_stop(&server, 0), 0);
    cr_expect_geq(gemini_now() - begun, 3900, "the stop came too early");
}

Test(settings, a_second_signal_stops_at_once) {
    start_with("stop-delay = 60min\n");
    kill(server.process, SIGTERM);
    cr_assert(server_logged(&server, "told to stop"));
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
}

Test(settings, as_many_workers_as_they_say) {
    pid_t workers[WORKERS_MAX];
    start_with("workers = 5\n");
    cr_expect_eq(server_workers(&server, workers), 5);
    for (int i = 0; i < 20; i++)
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

/* A reload keeps the number of workers, because they share memory from the start. */
Test(settings, a_reload_does_not_change_the_number_of_workers) {
    pid_t workers[WORKERS_MAX];
    start_with("workers = 3\n");
    server_put_settings(&server, "workers = 1\n");
    server_reload(&server);
    cr_expect_geq(server_workers(&server, workers), 3);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

Test(settings, without_them_there_is_a_worker_for_each_processor_allowed) {
    pid_t workers[WORKERS_MAX];
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    start_with("");
    cr_expect_eq(server_workers(&server, workers), 1);
}

Test(settings, only_errors_are_in_the_log_if_they_say_so) {
    start_with("log-requests = errors\n");
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    expect_status(&server, "gemini://localhost:PORT/none.gmi", 51);
    cr_expect(server_logged(&server, "request status=51"));
    char *log = server_log(&server);
    cr_expect_null(strstr(log, "request status=20"), "%s", log);
    free(log);
}
