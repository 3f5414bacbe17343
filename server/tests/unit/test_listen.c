/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/bounds.h"
#include "supervisor/listen.h"

Test(listen, addresses_that_are_none) {
    static const char *const cases[] = {
        "",
        "1965",
        "127.0.0.1",
        "127.0.0.1:",
        ":1965",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:1965x",
        "localhost:1965",
        "::1:1965",
        "[::1]1965",
        "[::1:1965",
        "[127.0.0.1]:1965",
        "[]:1965",
        "256.0.0.1:1965",
        "[::1]: 1965",
        "127.0.0.1:000001965",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct listener listener;
        cr_expect_eq(listen_open(cases[i], true, &listener), EX_USAGE, "%s", cases[i]);
    }
}

Test(listen, open_adopt_and_taken) {
    struct listener listener, adopted, second;
    char address[32];
    unsigned port = 20000 + (unsigned)getpid() % 20000;
    do
        snprintf(address, sizeof address, "127.0.0.1:%u", ++port);
    while (listen_open(address, false, &listener) != 0 && port < 60000);
    cr_assert_eq(listener.port, port);
    cr_expect_eq(listen_open(address, false, &second), EX_UNAVAILABLE);
    cr_expect(listen_adopt(listener.descriptor, &adopted));
    cr_expect_eq(adopted.port, port);
    close(listener.descriptor);
}

/* Checks the buffers, and the time limit for clients that read nothing. The kernel doubles buffer sizes. */
Test(listen, what_connections_inherit) {
    struct listener listener;
    char address[32];
    unsigned port = 20000 + (unsigned)getpid() % 20000;
    do
        snprintf(address, sizeof address, "127.0.0.1:%u", ++port);
    while (listen_open(address, false, &listener) != 0 && port < 60000);
    static const struct {
        int level, option, value;
    } options[] = {{SOL_SOCKET, SO_SNDBUF, 2 * BOUND_SEND_BUFFER},
                   {SOL_SOCKET, SO_RCVBUF, 2 * BOUND_RECEIVE_BUFFER},
                   {IPPROTO_TCP, TCP_USER_TIMEOUT, 120000},
                   {IPPROTO_TCP, TCP_NODELAY, 1}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        int value = 0;
        socklen_t size = sizeof value;
        cr_expect_eq(getsockopt(listener.descriptor, options[i].level, options[i].option, &value, &size), 0);
        cr_expect_eq(value, options[i].value, "option %d of level %d is %d", options[i].option, options[i].level,
                     value);
    }
    close(listener.descriptor);
}

Test(listen, descriptors_that_are_no_listener) {
    struct listener listener;
    int pair[2];
    int datagram = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(pipe(pair), 0);
    cr_expect_not(listen_adopt(pair[0], &listener));
    cr_expect_not(listen_adopt(datagram, &listener));
    cr_expect_not(listen_adopt(stream, &listener), "not listening");
    cr_expect_not(listen_adopt(-1, &listener));
    close(pair[0]), close(pair[1]), close(datagram), close(stream);
}
