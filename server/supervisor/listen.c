/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "listen.h"

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
#include "common/log.h"
#include "common/socket_address.h"

#define BACKLOG 1024
#define GONE_AFTER 120000 /* milliseconds in which nothing could be sent, or nothing was acknowledged */

bool listen_is_four(const char *address) {
    return address[0] != '[';
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
    if (!socket_address_parse(text, &address, &size)) {
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
    *listener = (struct listener){descriptor, socket_address_port(&address)};
    return 0;
failed:
    if (errno == EADDRINUSE)
        log_line(LOG_LEVEL_ERROR,
                 "%s: port %u is in use by another program; stop that program, or choose another port with --listen",
                 text, socket_address_port(&address));
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
    *listener = (struct listener){descriptor, socket_address_port(&address)};
    return true;
}
