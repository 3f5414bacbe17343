/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The memory of the service under the kernel's limit, with as many clients as possible, from many prefixes, who request
 * a large file and read almost nothing of it. Only in a virtual machine, because test hosts in containers do not count
 * the memory of sockets.
 */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "lib/attack.h"

TestSuite(memory, .timeout = 900);

#define PREFIXES 64
/* An emulated machine completes few handshakes per second, so all limits are a quarter of the defaults (bounds.h). */
#define PLACES 160
#define LIMIT ((56u << 20) + PLACES * (48u + 248u) * 1024)
#define VISITS 15
#define SEEN_AS_SLOW 15 /* seconds; the server checks a response every two, and the clients must stop reading first */
#define GROUP "/sys/fs/cgroup$(systemctl show --value --property=ControlGroup vitrine.service)"

/* Makes a request through a proxy, from its own address. Returns milliseconds, or 0 if there was no response. */
static uint64_t visit(const struct host *host) {
    static const char header[] = "PROXY TCP4 198.51.100.7 192.0.2.1 40000 1965\r\n";
    const struct gemini_way way = {.port = host->port, .server_name = "localhost", .patience = 120000};
    struct gemini_reply reply = {0};
    char line[64];
    uint64_t begun = gemini_now();
    struct gemini_client *client = gemini_connect(&way);
    int size = snprintf(line, sizeof line, "gemini://localhost:%u/\r\n", host->port);
    bool answered = client && gemini_send_raw(client, header, sizeof header - 1) && gemini_shake_hands(client) &&
                    gemini_send(client, line, (size_t)size) &&
                    gemini_receive(client, &reply, 0) == GEMINI_CLOSE_NOTIFY && reply.status == 20;
    gemini_reply_end(&reply);
    gemini_end(client);
    uint64_t taken = gemini_now() - begun;
    return !answered ? 0 : taken > 0 ? taken : 1;
}

static int compare(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

/* Returns the median time of several visits, all of which must be answered. */
static uint64_t median(const struct host *host, const char *when) {
    uint64_t times[VISITS];
    for (size_t i = 0; i < VISITS; i++) {
        times[i] = visit(host);
        cr_expect_gt(times[i], 0, "%s: visit %zu was not answered", when, i);
        usleep(100000);
    }
    qsort(times, VISITS, sizeof *times, compare);
    return times[VISITS / 2];
}

static unsigned long long number(const struct host *host, const char *command) {
    cr_assert_eq(host_run(host, command), 0, "%s", host_output);
    return strtoull(host_output, NULL, 10);
}

Test(memory, slow_readers_of_many_prefixes_do_not_fill_it) {
    char command[1024], request[64];
    struct attack_course *course;
    if (!host_is_virtual())
        cr_skip_test("no virtual machine");
    struct host host = host_start();
    host_attach(&host);
    snprintf(command, sizeof command,
             "mkdir -p /etc/vitrine /srv/gemini/localhost; "
             "printf 'proxy-ports = %u\\nmax-connections = %u\\nreply-timeout = 10min\\n' >/etc/vitrine/vitrine.conf; "
             "echo '# Start' >/srv/gemini/localhost/index.gmi; "
             "head -c 8000000 /dev/zero >/srv/gemini/localhost/large.bin; "
             "mkdir -p /etc/systemd/system/vitrine.service.d; "
             "printf '[Service]\\nMemoryMax=%u\\n' >/etc/systemd/system/vitrine.service.d/memory.conf; "
             "systemctl daemon-reload; systemctl restart vitrine.service",
             host.port, PLACES, LIMIT);
    cr_assert_eq(host_run(&host, command), 0, "%s", host_output);
    unsigned long long process = number(&host, "systemctl show --value --property=MainPID vitrine.service");
    unsigned long long limit = number(&host, "cat " GROUP "/memory.max");
    cr_assert_eq(limit, LIMIT / 4096 * 4096ull, "%llu bytes: no limit is enforced", limit);
    uint64_t quiet = median(&host, "before");

    snprintf(request, sizeof request, "gemini://localhost:%u/large.bin\r\n", host.port);
    struct attack attack = {.port = host.port,
                            .request = request,
                            .crowd = PLACES + 40,
                            .most = 4000,
                            .duration = 280000,
                            .point = POINT_READING,
                            .deed = DEED_SILENCE,
                            .proxied_addresses = PREFIXES,
                            .proxied_prefixes = PREFIXES};
    pid_t attackers = attack_begin(&attack, &course);
    uint64_t give_up = gemini_now() + 240000;
    while (course->arrived < PLACES && gemini_now() < give_up)
        usleep(200000);
    size_t arrived = course->arrived;
    /* The server needs some seconds to distinguish a slow reader from a new client. */
    sleep(SEEN_AS_SLOW);
    uint64_t beside = median(&host, "beside them");
    unsigned long long sockets = number(&host, "sed -n 's/^sock //p' " GROUP "/memory.stat");
    unsigned long long all = number(&host, "cat " GROUP "/memory.current");
    unsigned long long kills = number(&host, "sed -n 's/^oom_kill //p' " GROUP "/memory.events");
    cr_log_info("%zu clients; %llu kB of sockets, %llu kB in all; a visit took %llu ms before, %llu ms beside them",
                arrived, sockets >> 10, all >> 10, (unsigned long long)quiet, (unsigned long long)beside);
    attack_end(attackers, course);
    cr_expect_geq(arrived, PLACES, "%zu clients came so far", arrived);
    cr_expect_gt(sockets, PLACES * 16384ull, "sockets are not counted");
    cr_expect_lt(all, limit);
    cr_expect_eq(kills, 0, "%llu processes were ended for lack of memory", kills);
    cr_expect_eq(number(&host, "systemctl show --value --property=MainPID vitrine.service"), process,
                 "it was started again");
    cr_expect_leq(beside, 2 * quiet + 1000, "%llu ms, and %llu ms before", (unsigned long long)beside,
                  (unsigned long long)quiet);
    /* The memory must be freed. */
    give_up = gemini_now() + 60000;
    do
        sockets = number(&host, "sed -n 's/^sock //p' " GROUP "/memory.stat");
    while (sockets > 4 << 20 && gemini_now() < give_up);
    cr_expect_leq(sockets, 4 << 20, "%llu bytes of sockets are left", sockets);
    median(&host, "afterwards");
    host_run(&host, "systemctl show --value --property=OOMPolicy vitrine.service");
    cr_expect_str_eq(host_output, "continue");
    host_stop(&host);
}
