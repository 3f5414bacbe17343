/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Measures the kernel's share of a visit: the same connections, with packets of the same length, between two processes
 * that do nothing else. No server can cost less without sending fewer packets. Prints one line of key=value:
 * microseconds of the serving process for one visit, the median of several rounds.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "processes.h"

#define ROUNDS 5
#define VISITS 1000
#define AT_ONCE 8
#define DESCRIPTORS 1024
#define EVENTS 64

/* Sizes in bytes: ClientHello, the server's flight, Finished with the request, and a reply of 1 KiB. */
enum { HELLO = 245, FLIGHT = 806, REQUEST = 152, REPLY = 1086 };
#define THINKING 150 /* microseconds that a TLS client needs for each of its messages; meanwhile, the server sleeps */

static char bytes[65536];

static void must(bool done, const char *what) {
    if (!done) {
        fprintf(stderr, "packets: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static void watch(int events, int descriptor, uint32_t what) {
    struct epoll_event event = {.events = what, .data.fd = descriptor};
    must(epoll_ctl(events, EPOLL_CTL_ADD, descriptor, &event) == 0, "epoll");
}

/* ---- the server ---- */

static bool greeted[DESCRIPTORS];

static void go_on(int client) {
    ssize_t got = recv(client, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0 && !greeted[client]) {
        greeted[client] = true;
        send(client, bytes, FLIGHT, MSG_NOSIGNAL);
        return;
    }
    if (got > 0) {
        send(client, bytes, REPLY, MSG_NOSIGNAL | MSG_MORE);
        shutdown(client, SHUT_WR);
    }
    close(client);
}

static void serve(int listener) {
    int events = epoll_create1(EPOLL_CLOEXEC);
    watch(events, listener, EPOLLIN);
    for (;;) {
        struct epoll_event list[EVENTS];
        int count = epoll_wait(events, list, EVENTS, -1), client;
        for (int i = 0; i < count; i++) {
            if (list[i].data.fd != listener) {
                go_on(list[i].data.fd);
                continue;
            }
            while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                must(client < DESCRIPTORS, "too many connections");
                greeted[client] = false;
                watch(events, client, EPOLLIN);
                go_on(client);
            }
        }
    }
}

/* ---- the clients ---- */

static enum { CONNECTS, GREETS, ASKS } steps[DESCRIPTORS];

static void think(void) {
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000 < THINKING);
}

static void begin(int events, const struct sockaddr_in *server) {
    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(client >= 0 && client < DESCRIPTORS, "socket");
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    must(connect(client, (const struct sockaddr *)server, sizeof *server) == 0 || errno == EINPROGRESS, "connect");
    watch(events, client, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void say(int client, size_t size) {
    think();
    must(send(client, bytes, size, MSG_NOSIGNAL) == (ssize_t)size, "send");
}

/* Returns true if the visit is complete. */
static bool advance(int client, uint32_t happened) {
    ssize_t got;
    if (steps[client] == CONNECTS && (happened & EPOLLOUT)) {
        say(client, HELLO);
        steps[client] = GREETS;
    }
    while ((got = recv(client, bytes, sizeof bytes, 0)) > 0) {
        if (steps[client] == GREETS) {
            say(client, REQUEST);
            steps[client] = ASKS;
        }
    }
    if (got < 0 && errno == EAGAIN)
        return false;
    must(got == 0 && steps[client] == ASKS, "a visit ended early");
    close(client);
    steps[client] = CONNECTS;
    return true;
}

static void visit(const struct sockaddr_in *server) {
    int events = epoll_create1(EPOLL_CLOEXEC), begun = 0, done = 0;
    while (done < VISITS) {
        struct epoll_event list[EVENTS];
        for (; begun < VISITS && begun - done < AT_ONCE; begun++)
            begin(events, server);
        int count = epoll_wait(events, list, EVENTS, 10000);
        must(count > 0, "nothing moves");
        for (int i = 0; i < count; i++)
            done += advance(list[i].data.fd, list[i].events);
    }
    close(events);
}

/* ---- the measurement ---- */

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    double rounds[ROUNDS];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    must(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, AT_ONCE * 2) == 0 &&
             getsockname(listener, (struct sockaddr *)&address, &size) == 0,
         "listen");
    pid_t server = fork();
    must(server >= 0, "fork");
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listener);
        return 0;
    }
    const struct processes processes = {.list = {server}, .count = 1};
    visit(&address); /* warm-up */
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t before = processes_time(&processes);
        visit(&address);
        rounds[round] = (double)(processes_time(&processes) - before) / 1000 / VISITS;
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    qsort(rounds, ROUNDS, sizeof *rounds, compare);
    printf("packets_us=%.1f\n", rounds[ROUNDS / 2]);
    return 0;
}
