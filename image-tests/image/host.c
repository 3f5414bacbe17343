/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 120000 /* milliseconds for each step of a visit: a delay on a busy machine is not a refusal */

char host_output[65536];

int machine_run(const char *command) {
    char whole[4096];
    size_t length = 0, got;
    snprintf(whole, sizeof whole, "{ %s; } 2>&1 </dev/null", command);
    FILE *pipe = popen(whole, "r");
    cr_assert_not_null(pipe);
    while (length + 1 < sizeof host_output &&
           (got = fread(host_output + length, 1, sizeof host_output - 1 - length, pipe)) > 0)
        length += got;
    while (length > 0 && host_output[length - 1] == '\n')
        length--;
    host_output[length] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Returns what image-tests/with-host passed. */
static const char *told(const char *variable) {
    const char *value = getenv(variable);
    cr_assert_not_null(value, "%s is not set: run these tests by image-tests/with-host", variable);
    return value;
}

struct host host_here(void) {
    struct host host = {.port = (uint16_t)atoi(told("VITRINE_PORT"))};
    snprintf(host.name, sizeof host.name, "%s", told("VITRINE_HOST"));
    return host;
}

bool host_is_virtual(void) {
    return strncmp(told("VITRINE_KIND"), "qemu", 4) == 0;
}

struct host host_start(void) {
    char command[512];
    struct host host = {0};
    unsigned port = 0;
    snprintf(host.name, sizeof host.name, "test-%d", (int)getpid());
    snprintf(command, sizeof command, "timeout 120 image-tests/host start %s %s --image=%s --while=%d",
             told("VITRINE_KIND"), host.name, told("VITRINE_IMAGE"), (int)getpid());
    cr_assert_eq(machine_run(command), 0, "%s", host_output);
    snprintf(command, sizeof command, "image-tests/host address %s", host.name);
    machine_run(command);
    cr_assert_eq(sscanf(host_output, "127.0.0.1:%u", &port), 1, "%s", host_output);
    host.port = (uint16_t)port;
    return host;
}

void host_attach(const struct host *host) {
    char command[512];
    /* On a busy machine, an emulated processor needs more time for a handshake than the server's default. */
    if (host_is_virtual())
        cr_assert_eq(host_run(host,
                              "mkdir -p /etc/vitrine; printf 'handshake-timeout = 100s\\nrequest-timeout = 100s\\n' "
                              ">>/etc/vitrine/vitrine.conf"),
                     0, "%s", host_output);
    snprintf(command, sizeof command, "timeout 120 image-tests/host attach %s %s", host->name, told("VITRINE_IMAGE"));
    cr_assert_eq(machine_run(command), 0, "%s", host_output);
}

bool host_stop(const struct host *host) {
    char command[512];
    snprintf(command, sizeof command, "timeout 60 image-tests/host stop %s", host->name);
    int status = machine_run(command);
    /* The brackets keep the pattern from matching the shell that runs it. */
    snprintf(command, sizeof command,
             "pgrep -fa '[m]achine=%s |[-]name %s '; ls -d build/hosts/%s 2>/dev/null; losetup --list | grep %s",
             host->name, host->name, host->name, host->name);
    machine_run(command);
    return status == 0 && host_output[0] == '\0';
}

int host_run(const struct host *host, const char *command) {
    char whole[4096], quoted[3072];
    size_t length = 0;
    for (; *command && length + 5 < sizeof quoted; command++) {
        if (*command == '\'')
            length += (size_t)sprintf(quoted + length, "'\\''");
        else
            quoted[length++] = *command;
    }
    quoted[length] = '\0';
    snprintf(whole, sizeof whole, "timeout 120 image-tests/host run %s sh -c '%s'", host->name, quoted);
    return machine_run(whole);
}

int host_systemd(const struct host *host) {
    cr_assert_eq(host_run(host, "systemctl --version | sed -n '1s/[^0-9]*\\([0-9]*\\).*/\\1/p'"), 0, "%s", host_output);
    return atoi(host_output);
}

void host_read_console(const struct host *host) {
    char command[512];
    snprintf(command, sizeof command, "cat build/hosts/%s/console", host->name);
    machine_run(command);
}

/* How the last visit without a response ended (enum gemini_progress). */
static char unanswered[96];

static enum gemini_progress fetch(const struct host *host, const char *path, struct gemini_reply *reply) {
    char request[1200];
    const struct gemini_way way = {.port = host->port, .server_name = "localhost", .patience = PATIENCE};
    int size = snprintf(request, sizeof request, "gemini://localhost:%u%s\r\n", host->port, path);
    return gemini_fetch(&way, request, (size_t)size, reply);
}

const struct gemini_reply *host_ask(const struct host *host, const char *path) {
    static struct gemini_reply reply;
    gemini_reply_end(&reply);
    fetch(host, path, &reply);
    cr_assert_eq(reply.progress, GEMINI_CLOSE_NOTIFY, "%s: no whole reply came", path);
    return &reply;
}

bool host_answers(const struct host *host) {
    struct gemini_reply reply = {0};
    uint64_t begun = gemini_now();
    bool whole = fetch(host, "/", &reply) == GEMINI_CLOSE_NOTIFY && reply.status == 20;
    if (!whole)
        snprintf(unanswered, sizeof unanswered, "progress %d, status %d, after %llu ms", (int)reply.progress,
                 reply.status, (unsigned long long)(gemini_now() - begun));
    gemini_reply_end(&reply);
    return whole;
}

void host_copy(const struct host *host, const char *path, const char *folder) {
    char command[512];
    snprintf(command, sizeof command, "timeout 120 image-tests/host copy %s %s %s", host->name, path, folder);
    cr_assert_eq(machine_run(command), 0, "%s", host_output);
}

struct host_visits host_visit_during(const struct host *host, const char *commands) {
    char name[128], line[3072];
    struct host_visits visits = {0};
    snprintf(name, sizeof name, "build/check/visit-%s-%d", host->name, (int)getpid());
    snprintf(line, sizeof line, "mkdir -p build/check; rm -f %s.done", name);
    machine_run(line);
    snprintf(
        line, sizeof line,
        "(timeout 600 image-tests/host run %s sh -euc '%s' >%s.words 2>&1; echo $? >%s.done) >/dev/null 2>&1 & true",
        host->name, commands, name, name);
    machine_run(line);
    snprintf(line, sizeof line, "%s.done", name);
    for (uint64_t deadline = gemini_now() + 600000; access(line, F_OK) != 0 && gemini_now() < deadline;
         visits.asked++) {
        if (!host_answers(host)) {
            visits.turned_away++;
            fprintf(stderr, "visit %d was turned away: %s\n", visits.asked, unanswered);
        }
        /* A client from another machine may make at most 300 requests per minute. */
        if (host_is_virtual())
            usleep(250000);
    }
    snprintf(line, sizeof line, "cat %s.words; sleep 0.1; status=$(cat %s.done); rm -f %s.*; exit $status", name, name,
             name);
    cr_expect_eq(machine_run(line), 0, "the commands failed: %s", host_output);
    return visits;
}
