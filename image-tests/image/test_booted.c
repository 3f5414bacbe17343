/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The image booted by itself in systemd-nspawn, with the server as its init. */

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

TestSuite(booted, .timeout = 120);

Test(booted, the_server_is_its_init) {
    struct host host = host_here();
    char command[256];
    snprintf(command, sizeof command, "tr '\\0' ' ' </proc/$(pgrep -P $(cat build/hosts/%s/machine))/cmdline",
             host.name);
    cr_assert_eq(machine_run(command), 0, "%s", host_output);
    cr_expect(strstr(host_output, "vitrine") || strstr(host_output, "systemd/systemd"), "%s", host_output);
    snprintf(command, sizeof command, "readlink /proc/$(pgrep -P $(cat build/hosts/%s/machine))/exe", host.name);
    cr_assert_eq(machine_run(command), 0);
    cr_expect(strstr(host_output, "/usr/bin/vitrine"), "%s", host_output);
}

Test(booted, a_request_is_one_line_on_the_console) {
    struct host host = host_here();
    host_ask(&host, "/no-such-page-of-the-console");
    for (int attempt = 0; attempt < 50; attempt++) {
        host_read_console(&host);
        if (strstr(host_output, "of-the-console"))
            break;
        machine_run("sleep 0.1");
    }
    host_read_console(&host);
    const char *line = strstr(host_output, "of-the-console");
    cr_assert_not_null(line, "%s", host_output);
    cr_expect_null(strstr(line + 1, "of-the-console"), "two lines: %s", host_output);
}

Test(booted, its_root_is_read_only) {
    struct host host = host_here();
    char command[256];
    snprintf(command, sizeof command,
             "touch /proc/$(pgrep -P $(cat build/hosts/%s/machine))/root/usr/share/vitrine/sample/localhost/trace",
             host.name);
    cr_expect_neq(machine_run(command), 0);
    cr_expect(strstr(host_output, "Read-only file system"), "%s", host_output);
}

/* systemd-nspawn passes a stop request to the init. If the init ignored it, it would be killed after some time. */
Test(booted, it_stops_in_peace_and_leaves_nothing) {
    char command[512];
    struct host host = host_start();
    cr_expect_eq(host_ask(&host, "/")->status, 20);
    /* The console's file is in the host's folder, which is removed with the host. */
    snprintf(command, sizeof command,
             "mkdir -p build/check; ln build/hosts/%s/console build/check/%s; cat build/hosts/%s/machine", host.name,
             host.name, host.name);
    cr_assert_eq(machine_run(command), 0, "%s", host_output);
    int container = atoi(host_output);
    uint64_t begun = gemini_now();
    kill(container, SIGTERM);
    snprintf(command, sizeof command, "timeout 30 tail --pid=%d -f /dev/null", container);
    machine_run(command);
    cr_expect_lt(gemini_now() - begun, 20000, "it did not stop when it was asked to");
    cr_expect(host_stop(&host), "%s", host_output);
    snprintf(command, sizeof command, "cat build/check/%s; rm build/check/%s", host.name, host.name);
    machine_run(command);
    cr_expect(strstr(host_output, "stopped"), "its last line is missing: %s", host_output);
}
