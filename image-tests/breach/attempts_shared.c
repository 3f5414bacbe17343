/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Misusing what a worker shares with others: its listeners, its log, the memory with everybody's counters, its place
 * among the workers (server/common/SHARED.md). None of this needs a new descriptor.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "inside.h"

#define NEEDS_LISTENER                                                                                                 \
    if (surroundings->listener < 0)                                                                                    \
        return absent("there is no listener");                                                                         \
    int listener = (int)surroundings->listener

/* The listener is non-blocking, so EINPROGRESS means that it is connecting. */
static int judge_connecting(const struct surroundings *surroundings, ssize_t sent, const char *call) {
    return sent >= 0 || errno == EINPROGRESS ? succeeded("was connected") : refused(surroundings, call);
}

/* After shutdown, a listener is an ordinary socket in the network namespace in which it was made. */
int network_listener_fastopen(const struct surroundings *surroundings) {
    NEEDS_LISTENER;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)surroundings->tcp_loopback_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (surroundings->tcp_loopback_port < 0)
        return absent("tcp_loopback_port is not told");
    if (shutdown(listener, SHUT_RDWR) < 0)
        return refused(surroundings, "shutdown");
    ssize_t sent =
        sendto(listener, "breach", 6, MSG_NOSIGNAL | MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address);
    return judge_connecting(surroundings, sent, "sendto");
}

/* Does the same with a message, whose address is in memory, which filters cannot read. */
int network_listener_message(const struct surroundings *surroundings) {
    NEEDS_LISTENER;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)surroundings->tcp_loopback_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct iovec part = {(void *)(uintptr_t)"breach", 6};
    struct msghdr message = {.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &part, .msg_iovlen = 1};
    if (surroundings->tcp_loopback_port < 0)
        return absent("tcp_loopback_port is not told");
    shutdown(listener, SHUT_RDWR);
    return judge_connecting(surroundings, sendmsg(listener, &message, MSG_NOSIGNAL | MSG_FASTOPEN), "sendmsg");
}

int others_close_port(const struct surroundings *surroundings) {
    NEEDS_LISTENER;
    return judged(surroundings, shutdown(listener, SHUT_RDWR), "shutdown", "closed the port for everybody");
}

int others_half_close_port(const struct surroundings *surroundings) {
    NEEDS_LISTENER;
    return judged(surroundings, shutdown(listener, SHUT_RD), "shutdown", "closed the port for everybody");
}

int others_block_port(const struct surroundings *surroundings) {
    NEEDS_LISTENER;
    return judged(surroundings, fcntl(listener, F_SETFL, O_RDWR), "fcntl", "everybody who accepts waits now");
}

/* Sets an option that stays with the socket after the worker has ended. */
int others_port_options(const struct surroundings *surroundings) {
    NEEDS_LISTENER;
    int seconds = 1000;
    return judged(surroundings, setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds),
                  "setsockopt", "whoever is silent is not accepted any more");
}

int others_backlog(const struct surroundings *surroundings) {
    NEEDS_LISTENER;
    return judged(surroundings, listen(listener, 0), "listen", "nobody can wait at the port any more");
}

int others_mute_log(const struct surroundings *surroundings) {
    return judged(surroundings, shutdown(surroundings->log, SHUT_WR), "shutdown",
                  "nobody's lines are written any more");
}

/* Only the log shows whether the line passes for somebody else's, and for an emergency. */
int others_forge_log(const struct surroundings *surroundings) {
    static const char line[] = "<0>breach drill: a forged line\n";
    return judged(surroundings, write(surroundings->log, line, sizeof line - 1), "write",
                  "wrote a line as if it were the whole service");
}

/* The kernel writes into memory only if the process itself can write there. */
static bool is_writable(void *memory) {
    return getrandom(memory, 1, 0) == 1;
}

int others_counters(const struct surroundings *surroundings) {
    char *counters = surroundings->others_counters;
    if (!counters)
        return absent("nobody counts in memory that it sees");
    if (is_writable(counters))
        return succeeded("changed what another has counted");
    int error = errno;
    if (mprotect(counters, 4096, PROT_READ | PROT_WRITE) == 0 && is_writable(counters))
        return succeeded("made it writable");
    /* Maps the same memory a second time. */
    char *again = mremap(counters, 0, 4096, MREMAP_MAYMOVE);
    if (again != MAP_FAILED && is_writable(again))
        return succeeded("has it again, writable");
    errno = error;
    return refused(surroundings, "getrandom");
}

/* Finds a worker's own epoll instance, with which it can wait. */
static int find_events(void) {
    struct epoll_event event;
    for (int descriptor = 3; descriptor < 64; descriptor++) {
        if (epoll_wait(descriptor, &event, 1, 0) >= 0)
            return descriptor;
    }
    return -1;
}

/*
 * Keeps running after it was told to stop: accepts clients, and shows that it lives. An observer outside checks that it
 * is ended; otherwise, it stops after a minute.
 */
static int stay(const struct surroundings *surroundings) {
    struct epoll_event event;
    int events = find_events();
    uint64_t until = clock_milliseconds() + 60000;
    while (clock_milliseconds() < until) {
        ++*surroundings->own_beats;
        if (epoll_wait(events, &event, 1, 200) > 0)
            close(accept4((int)surroundings->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
    }
    return succeeded("stayed as long as it liked");
}

int others_stay(const struct surroundings *surroundings) {
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    if (surroundings->own_beats)
        return stay(surroundings);
    return judged(surroundings, sigaction(SIGHUP, &ignored, NULL), "rt_sigaction", "stays when it is told to leave");
}

/* A process that reads messages gets the descriptor, and may not expect one. */
int others_pass_descriptor(const struct surroundings *surroundings) {
    struct iovec part = {(void *)(uintptr_t)"breach", 6};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room = {{0}};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (surroundings->keys_descriptor < 0)
        return absent("there is nobody to pass it to");
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    *(int *)(void *)CMSG_DATA(rights) = STDIN_FILENO;
    ssize_t sent = sendmsg((int)surroundings->keys_descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return judged(surroundings, sent, "sendmsg", "passed a file to the key process");
}
