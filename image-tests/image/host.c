/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static struct host named(const char *variable) {
    struct host host = {0};
    const char *value = getenv(variable);
    unsigned port;
    cr_assert(value && sscanf(value, "%63s %u", host.name, &port) == 2,
              "%s is not set: run these tests by image-tests/with-hosts", variable);
    host.port = (uint16_t)port;
    return host;
}

struct host host_attached(void) {
    return named("VITRINE_ATTACHED");
}

struct host host_booted(void) {
    return named("VITRINE_BOOTED");
}

static const char *image(void) {
    const char *path = getenv("VITRINE_IMAGE");
    cr_assert_not_null(path, "VITRINE_IMAGE is not set: run these tests by image-tests/with-hosts");
    return path;
}

struct host host_start(const char *kind) {
    char command[512];
    struct host host = {0};
    unsigned port = 0;
    snprintf(host.name, sizeof host.name, "test-%d", (int)getpid());
    snprintf(command, sizeof command, "timeout 60 image-tests/host start %s %s --image=%s --while=%d", kind, host.name,
             image(), (int)getpid());
    cr_assert_eq(machine_run(command), 0, "%s", host_output);
    snprintf(command, sizeof command, "image-tests/host address %s", host.name);
    machine_run(command);
    cr_assert_eq(sscanf(host_output, "127.0.0.1:%u", &port), 1, "%s", host_output);
    host.port = (uint16_t)port;
    return host;
}

void host_attach(const struct host *host) {
    char command[512];
    snprintf(command, sizeof command, "timeout 60 image-tests/host attach %s %s", host->name, image());
    cr_assert_eq(machine_run(command), 0, "%s", host_output);
}

bool host_stop(const struct host *host) {
    char command[512];
    snprintf(command, sizeof command, "timeout 60 image-tests/host stop %s", host->name);
    int status = machine_run(command);
    /* The brackets keep the pattern from finding the shell that looks for it. */
    snprintf(command, sizeof command,
             "pgrep -fa '[m]achine=%s '; ls -d build/hosts/%s 2>/dev/null; losetup --list | grep %s", host->name,
             host->name, host->name);
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
    snprintf(whole, sizeof whole, "timeout 60 image-tests/host run %s sh -c '%s'", host->name, quoted);
    return machine_run(whole);
}

void host_read_console(const struct host *host) {
    char command[512];
    snprintf(command, sizeof command, "cat build/hosts/%s/console", host->name);
    machine_run(command);
}

const struct gemini_reply *host_ask(const struct host *host, const char *path) {
    static struct gemini_reply reply;
    char request[1200];
    const struct gemini_way way = {.port = host->port, .server_name = "localhost"};
    int size = snprintf(request, sizeof request, "gemini://localhost:%u%s\r\n", host->port, path);
    gemini_reply_end(&reply);
    gemini_fetch(&way, request, (size_t)size, &reply);
    cr_assert_eq(reply.progress, GEMINI_CLOSE_NOTIFY, "%s: no whole reply came", path);
    return &reply;
}
