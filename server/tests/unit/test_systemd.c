/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a service manager passes in the environment, and to which process. */
#include "common/systemd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void set_number(const char *variable, long long number) {
    char text[32];
    snprintf(text, sizeof text, "%lld", number);
    cr_assert_eq(setenv(variable, text, 1), 0);
}

/*
 * Runs a function in a child process, in which descriptors 3 and above are closed. It returns the number of a failed
 * line, or 0.
 */
static void expect_in_child(int (*run)(void)) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        for (int descriptor = 3; descriptor < 64; descriptor++)
            close(descriptor);
        int line = run();
        if (line > 0)
            fprintf(stderr, "line %d does not hold\n", line);
        _exit(line > 0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
}

#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return __LINE__;                                                                                           \
    } while (0)

/* Opens descriptors from 3 on, where sd_listen_fds(3) expects them. */
static void hand_over(int count) {
    for (int i = 0; i < count; i++)
        (void)!open("/dev/null", O_RDONLY);
}

static bool is_open(int descriptor) {
    return fcntl(descriptor, F_GETFD) >= 0;
}

static int take_own(void) {
    struct systemd_socket sockets[2];
    hand_over(3);
    set_number("LISTEN_PID", getpid());
    set_number("LISTEN_FDS", 3);
    setenv("LISTEN_FDNAMES", "one:two", 1);
    HOLDS(systemd_take_sockets(sockets, COUNT(sockets)) == 2);
    HOLDS(sockets[0].descriptor == 3 && sockets[1].descriptor == 4);
    HOLDS(strcmp(sockets[0].name, "one") == 0 && strcmp(sockets[1].name, "two") == 0);
    HOLDS(fcntl(3, F_GETFD) & FD_CLOEXEC);
    HOLDS(!is_open(5)); /* there is no space for it */
    HOLDS(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES"));
    return 0;
}

Test(systemd, sockets_for_this_process) {
    expect_in_child(take_own);
}

static int take_those_of_others(void) {
    static const char *const others[] = {"1", "", "x", "-1", "99999999999999999999999"};
    struct systemd_socket sockets[4];
    hand_over(1);
    for (size_t i = 0; i < COUNT(others); i++) {
        setenv("LISTEN_PID", others[i], 1);
        set_number("LISTEN_FDS", 1);
        HOLDS(systemd_take_sockets(sockets, COUNT(sockets)) == 0);
        HOLDS(!getenv("LISTEN_FDS"));
    }
    set_number("LISTEN_FDS", 1);
    HOLDS(systemd_take_sockets(sockets, COUNT(sockets)) == 0);
    set_number("LISTEN_PID", getpid());
    set_number("LISTEN_FDS", 1024);
    HOLDS(systemd_take_sockets(sockets, COUNT(sockets)) == 0);
    HOLDS(is_open(3) && !(fcntl(3, F_GETFD) & FD_CLOEXEC));
    return 0;
}

Test(systemd, sockets_for_another_process) {
    expect_in_child(take_those_of_others);
}

Test(systemd, messages_go_to_the_socket_that_is_named) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[64] = "", folder[] = "/tmp/vitrine-manager-XXXXXX";
    cr_assert_not_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", folder);
    int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(manager, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    systemd_open();
    cr_expect_null(getenv("NOTIFY_SOCKET"), "children could speak to the service manager");
    systemd_notify("READY=1");
    cr_expect_eq(recv(manager, text, sizeof text, 0), 7);
    cr_expect_str_eq(text, "READY=1");
    systemd_close();
    systemd_notify("READY=1");
    cr_expect_lt(recv(manager, text, sizeof text, 0), 0, "after the end");
    unlink(address.sun_path);
    rmdir(folder);
}

Test(systemd, the_watchdog_of_this_process) {
    static const struct {
        const char *microseconds;
        unsigned milliseconds;
    } cases[] = {{"30000000", 30000},
                 {"1999", 1},
                 {"0", 0},
                 {"", 0},
                 {"-5", 0},
                 {"30000x", 0},
                 {" 5000", 0},
                 {"18446744073709551615", 0xffffffff},
                 {"18446744073709551616", 0}};
    cr_expect_eq(systemd_watchdog_milliseconds(), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        setenv("WATCHDOG_USEC", cases[i].microseconds, 1);
        cr_expect_eq(systemd_watchdog_milliseconds(), cases[i].milliseconds, "'%s'", cases[i].microseconds);
    }
    setenv("WATCHDOG_USEC", "30000000", 1);
    set_number("WATCHDOG_PID", getpid());
    cr_expect_eq(systemd_watchdog_milliseconds(), 30000);
    set_number("WATCHDOG_PID", getpid() + 1);
    cr_expect_eq(systemd_watchdog_milliseconds(), 0, "it is that of another process");
}

static int connect_to_paths(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *folder = mkdtemp((char[]){"/tmp/manager-XXXXXX"}), path[64];
    HOLDS(folder);
    snprintf(path, sizeof path, "%s/socket", folder);
    HOLDS(systemd_connect(path, SOCK_SEQPACKET) == -ENOENT);
    strcpy(address.sun_path, path);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    HOLDS(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
    int connected = systemd_connect(path, SOCK_SEQPACKET);
    HOLDS(connected >= 0 && fcntl(connected, F_GETFD) == FD_CLOEXEC);
    HOLDS((fcntl(connected, F_GETFL) & O_NONBLOCK) == 0);
    /* Another socket type, an invalid path, and one that is too long: all fail, and no descriptor stays open. */
    HOLDS(systemd_connect(path, SOCK_DGRAM) == -EPROTOTYPE);
    HOLDS(systemd_connect("socket", SOCK_SEQPACKET) == -EINVAL);
    HOLDS(systemd_connect("", SOCK_SEQPACKET) == -EINVAL);
    char longer[sizeof address.sun_path + 1];
    memset(longer, '/', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    HOLDS(systemd_connect(longer, SOCK_SEQPACKET) == -EINVAL);
    HOLDS(!is_open(connected + 1));
    /* Nobody accepts these connections, so the queue fills up; then connecting fails instead of waiting. */
    int last = 0;
    for (int i = 0; i < 10 && last >= 0; i++)
        last = systemd_connect(path, SOCK_SEQPACKET);
    HOLDS(last == -EAGAIN);
    unlink(path);
    rmdir(folder);
    return 0;
}

Test(systemd, local_sockets_are_connected_to_by_path) {
    expect_in_child(connect_to_paths);
}
