/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pass_descriptor.h"

#define FIRST_DESCRIPTOR 3

static int notify_descriptor = -1;

/* A whole decimal number in an environment variable. */
static bool environment_number(const char *variable, unsigned long long *number) {
    const char *text = getenv(variable);
    if (!text || text[0] < '0' || text[0] > '9')
        return false;
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* Copies the next name of a colon-separated list; returns where the one after it begins. */
static const char *next_name(const char *names, char *name, size_t size) {
    size_t length = strcspn(names, ":");
    size_t copied = length < size ? length : size - 1;
    memcpy(name, names, copied);
    name[copied] = '\0';
    return names[length] ? names + length + 1 : names + length;
}

size_t systemd_take_sockets(struct systemd_socket *sockets, size_t max) {
    unsigned long long count, process;
    size_t taken = 0;
    if (environment_number("LISTEN_PID", &process) && process == (unsigned long long)getpid() &&
        environment_number("LISTEN_FDS", &count) && count < 1024) {
        const char *names = getenv("LISTEN_FDNAMES");
        if (!names)
            names = "";
        for (int i = 0; i < (int)count; i++) {
            struct systemd_socket socket = {.descriptor = FIRST_DESCRIPTOR + i};
            names = next_name(names, socket.name, sizeof socket.name);
            if (fcntl(socket.descriptor, F_SETFD, FD_CLOEXEC) < 0)
                continue;
            if (strcmp(socket.name, "notify") == 0 && notify_descriptor < 0)
                notify_descriptor = socket.descriptor;
            else if (taken < max)
                sockets[taken++] = socket;
            else
                close(socket.descriptor);
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return taken;
}

int systemd_connect(const char *path, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path)
        return -EINVAL;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* an abstract socket: exactly these bytes, without a NUL */
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    int descriptor = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return -errno;
    /* Only connecting must not wait: the queue of a listener that hangs stays full. */
    if (connect(descriptor, (struct sockaddr *)&address, size) == 0 &&
        fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK) == 0)
        return descriptor;
    int result = -errno;
    close(descriptor);
    return result;
}

void systemd_open(void) {
    const char *path = getenv("NOTIFY_SOCKET");
    if (notify_descriptor < 0 && path)
        notify_descriptor = systemd_connect(path, SOCK_DGRAM);
    unsetenv("NOTIFY_SOCKET");
}

void systemd_notify(const char *message) {
    if (notify_descriptor >= 0)
        (void)!send(notify_descriptor, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void systemd_keep(int descriptor, const char *name) {
    char text[64];
    size_t size = (size_t)snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s", name);
    /* Waits for room: a descriptor lost here would be missing after the next restart. */
    if (notify_descriptor >= 0)
        (void)!pass_descriptor(notify_descriptor, text, size, descriptor);
}

unsigned systemd_watchdog_milliseconds(void) {
    unsigned long long microseconds, process;
    if (!environment_number("WATCHDOG_USEC", &microseconds))
        return 0;
    if (environment_number("WATCHDOG_PID", &process) && process != (unsigned long long)getpid())
        return 0;
    unsigned long long milliseconds = microseconds / 1000;
    return milliseconds > UINT32_MAX ? UINT32_MAX : (unsigned)milliseconds;
}

void systemd_close(void) {
    if (notify_descriptor >= 0)
        close(notify_descriptor);
    notify_descriptor = -1;
}
