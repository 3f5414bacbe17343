/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/lines.h"
#include "common/log.h"

#define BACKLOG 1024
#define GONE_AFTER 120000 /* milliseconds in which nothing could be sent, or nothing was acknowledged */

union socket_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

bool listen_is_four(const char *address) {
    return address[0] != '[';
}

static bool parse_address(const char *text, union socket_address *address, socklen_t *size) {
    char host[INET6_ADDRSTRLEN];
    const char *start = text, *end = strrchr(text, ':');
    uint16_t port;
    if (!end)
        return false;
    const char *number = end + 1;
    if (strlen(number) > 5 || !lines_port(&number, &port) || *number != '\0')
        return false;
    bool six = !listen_is_four(text);
    if (six) {
        start++;
        if (end - start < 1 || end[-1] != ']')
            return false;
        end--;
    }
    size_t length = (size_t)(end - start);
    if (length >= sizeof host)
        return false;
    memcpy(host, start, length);
    host[length] = '\0';

    memset(address, 0, sizeof *address);
    if (six) {
        address->six.sin6_family = AF_INET6;
        address->six.sin6_port = htons(port);
        *size = sizeof address->six;
        return inet_pton(AF_INET6, host, &address->six.sin6_addr) == 1;
    }
    address->four.sin_family = AF_INET;
    address->four.sin_port = htons(port);
    *size = sizeof address->four;
    return inet_pton(AF_INET, host, &address->four.sin_addr) == 1;
}

static uint16_t port_of(const union socket_address *address) {
    return ntohs(address->any.sa_family == AF_INET6 ? address->six.sin6_port : address->four.sin_port);
}

/*
 * Sets options that connections inherit from their listener. A response is one send; waiting to fill a segment would
 * only delay it. Buffers are limited, because the kernel counts them against MemoryMax= of the service, and its own
 * default grows to megabytes for a client that does not read.
 */
static void set_up(int descriptor) {
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &(int){BOUND_SEND_BUFFER}, sizeof(int));
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &(int){BOUND_RECEIVE_BUFFER}, sizeof(int));
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &(int){GONE_AFTER}, sizeof(int));
    /* Undoes it if a worker that was taken over made the listener reset connections. */
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &(struct linger){0}, sizeof(struct linger));
}

int listen_open(const char *text, bool only_six, struct listener *listener) {
    union socket_address address;
    socklen_t size;
    if (!parse_address(text, &address, &size)) {
        log_line(LOG_LEVEL_ERROR, "--listen %s: not an address with a port; write it like 127.0.0.1:1965 or [::1]:1965",
                 text);
        return EX_USAGE;
    }
    int descriptor = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        goto failed;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (address.any.sa_family == AF_INET6)
        setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &(int){only_six}, sizeof(int));
    set_up(descriptor);
    if (bind(descriptor, &address.any, size) < 0 || listen(descriptor, BACKLOG) < 0)
        goto failed;
    *listener = (struct listener){descriptor, port_of(&address)};
    return 0;
failed:
    if (errno == EADDRINUSE)
        log_line(LOG_LEVEL_ERROR,
                 "%s: port %u is in use by another program; stop that program, or choose another port with --listen",
                 text, port_of(&address));
    else
        log_line(LOG_LEVEL_ERROR, "cannot listen on %s: %s", text, strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    return EX_UNAVAILABLE;
}

enum listen_state listen_look_after(const struct listener *listener) {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (getsockopt(listener->descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
        return LISTEN_DEAD;
    int flags = fcntl(listener->descriptor, F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK))
        return LISTEN_GOOD;
    fcntl(listener->descriptor, F_SETFL, flags | O_NONBLOCK);
    return LISTEN_MENDED;
}

bool listen_adopt(int descriptor, struct listener *listener) {
    union socket_address address;
    int listening = 0, type = 0;
    socklen_t size = sizeof(int);
    if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening ||
        getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) {
        log_line(LOG_LEVEL_ERROR,
                 "descriptor %d from the service manager is not a listening stream socket; check that the socket unit "
                 "has ListenStream= and Accept=no, then run: systemctl restart vitrine.socket",
                 descriptor);
        return false;
    }
    memset(&address, 0, sizeof address);
    size = sizeof address;
    getsockname(descriptor, &address.any, &size);
    set_up(descriptor);
    fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
    *listener = (struct listener){descriptor, port_of(&address)};
    return true;
}
