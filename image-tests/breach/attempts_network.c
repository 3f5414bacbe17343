/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Communicating with others. Every address is one of the drill's own listeners, or invalid. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "inside.h"

#define HELLO "breach\n"

/* Limits every wait to this time. */
static void set_patience(int connection) {
    struct timeval patience = {1, 500000};
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

/* Connects, says hello, closes. */
static int try_connect(const struct surroundings *surroundings, int type, const void *address, size_t size) {
    sa_family_t family;
    memcpy(&family, address, sizeof family);
    int connection = socket(family, type | SOCK_CLOEXEC, 0);
    if (connection < 0)
        return refused(surroundings, "socket");
    set_patience(connection);
    int outcome;
    if (connect(connection, address, (socklen_t)size) < 0)
        outcome = refused(surroundings, "connect");
    else if (send(connection, HELLO, sizeof HELLO - 1, MSG_NOSIGNAL) < 0)
        outcome = refused(surroundings, "sendto");
    else
        outcome = succeeded("was connected");
    close(connection);
    return outcome;
}

static struct sockaddr_in loopback(long port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int network_tcp_loopback(const struct surroundings *surroundings) {
    if (surroundings->tcp_loopback_port < 0)
        return absent("tcp_loopback_port is not told");
    struct sockaddr_in address = loopback(surroundings->tcp_loopback_port);
    return try_connect(surroundings, SOCK_STREAM, &address, sizeof address);
}

int network_tcp6_loopback(const struct surroundings *surroundings) {
    if (surroundings->tcp_loopback_port < 0)
        return absent("tcp_loopback_port is not told");
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)surroundings->tcp_loopback_port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return try_connect(surroundings, SOCK_STREAM, &address, sizeof address);
}

static bool public_address(const struct surroundings *surroundings, struct sockaddr_in *address) {
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)surroundings->tcp_public_port)};
    return surroundings->tcp_public_port >= 0 && surroundings->tcp_public_address &&
           inet_pton(AF_INET, surroundings->tcp_public_address, &address->sin_addr) == 1;
}

int network_tcp_public(const struct surroundings *surroundings) {
    struct sockaddr_in address;
    if (!public_address(surroundings, &address))
        return absent("tcp_public_address is not told");
    return try_connect(surroundings, SOCK_STREAM, &address, sizeof address);
}

/* Sends data with the first packet, which connects without connect(2). */
int network_fastopen(const struct surroundings *surroundings) {
    struct sockaddr_in address;
    if (!public_address(surroundings, &address))
        return absent("tcp_public_address is not told");
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0)
        return refused(surroundings, "socket");
    set_patience(connection);
    ssize_t sent = sendto(connection, HELLO, sizeof HELLO - 1, MSG_NOSIGNAL | MSG_FASTOPEN, (struct sockaddr *)&address,
                          sizeof address);
    int outcome = judged(surroundings, sent, "sendto", "was connected");
    close(connection);
    return outcome;
}

/* Multipath TCP has its own protocol number, which rules about TCP may forget. */
int network_multipath(const struct surroundings *surroundings) {
    struct sockaddr_in address;
    if (!public_address(surroundings, &address))
        return absent("tcp_public_address is not told");
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262);
    if (connection < 0)
        return errno == EPROTONOSUPPORT ? absent("this kernel has no multipath TCP") : refused(surroundings, "socket");
    set_patience(connection);
    int result = connect(connection, (struct sockaddr *)&address, sizeof address);
    int outcome = judged(surroundings, result, "connect", "was connected");
    close(connection);
    return outcome;
}

/* The listener answers with the token. */
static int exchange(const struct surroundings *surroundings, int descriptor) {
    struct sockaddr_in address = loopback(surroundings->udp_port);
    char text[128] = {0};
    if (sendto(descriptor, HELLO, sizeof HELLO - 1, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address) < 0)
        return refused(surroundings, "sendto");
    uint64_t until = clock_milliseconds() + 500;
    while (clock_milliseconds() < until) {
        ssize_t got = recvfrom(descriptor, text, sizeof text - 1, MSG_DONTWAIT, NULL, NULL);
        if (got > 0 && holds(text, sizeof text, surroundings->decoy_token))
            return succeeded("had an answer from the listener");
        if (got < 0 && errno != EAGAIN)
            return refused(surroundings, "recvfrom");
    }
    return contained("there was no answer");
}

int network_udp(const struct surroundings *surroundings) {
    if (surroundings->udp_port < 0 || !surroundings->decoy_token)
        return absent("udp_port is not told");
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return refused(surroundings, "socket");
    int outcome = exchange(surroundings, descriptor);
    close(descriptor);
    return outcome;
}

/* Uses sockets that the process already has: a datagram socket can send to any address. */
int network_inherited(const struct surroundings *surroundings) {
    struct sockaddr_in address = loopback(surroundings->udp_port);
    char text[128] = {0};
    if (surroundings->udp_port < 0 || !surroundings->decoy_token)
        return absent("udp_port is not told");
    for (int descriptor = 0; descriptor < 64; descriptor++) {
        /* The datagram is empty, so that nothing is sent if the socket is a connection, which would ignore the
         * address. */
        if (sendto(descriptor, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, sizeof address) < 0)
            continue;
        uint64_t until = clock_milliseconds() + 200;
        while (clock_milliseconds() < until) {
            ssize_t got = recvfrom(descriptor, text, sizeof text - 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
            if (got > 0 && holds(text, sizeof text, surroundings->decoy_token))
                return succeeded("an inherited socket reached the listener");
        }
    }
    return contained("no descriptor below 64 reaches the listener");
}

static int only_socket(const struct surroundings *surroundings, int family, int type, int protocol, const char *what) {
    int descriptor = socket(family, type | SOCK_CLOEXEC, protocol);
    if (descriptor < 0 && (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT) && !surroundings->lacking)
        return absent("this kernel has no such sockets");
    int outcome = judged(surroundings, descriptor, "socket", what);
    if (descriptor >= 0)
        close(descriptor);
    return outcome;
}

int network_raw(const struct surroundings *surroundings) {
    return only_socket(surroundings, AF_INET, SOCK_RAW, IPPROTO_ICMP, "could send packets of any content");
}

int network_packet(const struct surroundings *surroundings) {
    return only_socket(surroundings, AF_PACKET, SOCK_RAW, 0, "could read and send frames");
}

int network_vsock(const struct surroundings *surroundings) {
    return only_socket(surroundings, 40 /* AF_VSOCK */, SOCK_STREAM, 0, "could speak with the hypervisor");
}

/* Rarely used protocols contain most of the kernel's vulnerabilities. */
int network_rare(const struct surroundings *surroundings) {
    for (int family = 3; family < 46; family++) {
        if (family == AF_INET6 || family == AF_NETLINK || family == AF_PACKET || family == 40)
            continue;
        static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW};
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            int descriptor = socket(family, types[i] | SOCK_CLOEXEC, family == 15 ? 2 : 0);
            if (descriptor < 0)
                continue;
            close(descriptor);
            return succeeded(joined("had a socket of family ", digits(family), NULL, NULL));
        }
    }
    return refused(surroundings, "socket");
}

/* Sends a netlink request and reads the reply. */
static int ask_netlink(const struct surroundings *surroundings, int protocol, uint16_t type, const void *body,
                       size_t size, const char *what) {
    struct {
        uint32_t size;
        uint16_t type, flags;
        uint32_t sequence, port;
        char body[64];
    } message = {(uint32_t)(16 + size), type, 0x301 /* a request for a list */, 1, 0, {0}};
    char reply[8192];
    uint16_t reply_type = 2;
    memcpy(message.body, body, size);
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (descriptor < 0)
        return refused(surroundings, "socket");
    set_patience(descriptor);
    int outcome;
    if (send(descriptor, &message, message.size, 0) < 0)
        outcome = refused(surroundings, "sendto");
    else if (recv(descriptor, reply, sizeof reply, 0) < 16)
        outcome = refused(surroundings, "recvfrom");
    else {
        memcpy(&reply_type, reply + 4, sizeof reply_type);
        outcome = reply_type == 2 /* an error */ ? contained("the kernel answered with an error") : succeeded(what);
    }
    close(descriptor);
    return outcome;
}

int network_netlink_route(const struct surroundings *surroundings) {
    return ask_netlink(surroundings, 0, 18 /* RTM_GETLINK */, (char[16]){0}, 16, "had a list of network interfaces");
}

int network_netlink_sockets(const struct surroundings *surroundings) {
    const struct {
        uint8_t family, protocol;
        uint16_t reserved;
        uint32_t states, inode, show, cookie[2];
    } question = {AF_UNIX, 0, 0, UINT32_MAX, 0, 0, {0}};
    return ask_netlink(surroundings, 4, 20 /* SOCK_DIAG_BY_FAMILY */, &question, sizeof question,
                       "had a list of everybody's sockets");
}

int network_netlink_devices(const struct surroundings *surroundings) {
    struct {
        uint16_t family, reserved;
        uint32_t port, groups;
    } address = {AF_NETLINK, 0, 0, 1};
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 15 /* NETLINK_KOBJECT_UEVENT */);
    if (descriptor < 0)
        return refused(surroundings, "socket");
    int result = bind(descriptor, (struct sockaddr *)(void *)&address, sizeof address);
    int outcome = judged(surroundings, result, "bind", "would hear of each device");
    close(descriptor);
    return outcome;
}

/* ---- sockets of the host ---- */

static int try_local(const struct surroundings *surroundings, int type, const char *path, bool is_abstract,
                     const char *missing) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || strlen(path) + 2 > sizeof address.sun_path)
        return absent(missing);
    strcpy(address.sun_path + is_abstract, path);
    return try_connect(surroundings, type, &address, offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

int network_abstract(const struct surroundings *surroundings) {
    return try_local(surroundings, SOCK_STREAM, surroundings->abstract_socket, true, "abstract_socket is not told");
}

int network_unix(const struct surroundings *surroundings) {
    return try_local(surroundings, SOCK_STREAM, surroundings->unix_socket, false, "unix_socket is not told");
}

int network_dbus(const struct surroundings *surroundings) {
    return try_local(surroundings, SOCK_STREAM, surroundings->dbus_socket, false, "dbus_socket is not told");
}

int network_journal(const struct surroundings *surroundings) {
    return try_local(surroundings, SOCK_DGRAM, surroundings->journal_socket, false, "journal_socket is not told");
}

/* ---- being a server ---- */

static int try_bind(const struct surroundings *surroundings, int type, long port, bool shared) {
    struct sockaddr_in address = loopback(port);
    int descriptor = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return refused(surroundings, "socket");
    if (shared)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int));
    int outcome;
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0)
        outcome = refused(surroundings, "bind");
    else if (type == SOCK_STREAM && listen(descriptor, 1) < 0)
        outcome = refused(surroundings, "listen");
    else
        outcome = succeeded("has the port");
    close(descriptor);
    return outcome;
}

int network_listen(const struct surroundings *surroundings) {
    if (surroundings->bind_port < 0)
        return absent("bind_port is not told");
    return try_bind(surroundings, SOCK_STREAM, surroundings->bind_port, false);
}

int network_listen_udp(const struct surroundings *surroundings) {
    if (surroundings->bind_port < 0)
        return absent("bind_port is not told");
    return try_bind(surroundings, SOCK_DGRAM, surroundings->bind_port, false);
}

/* Listens on a web server's port on the loopback address. */
int network_listen_low(const struct surroundings *surroundings) {
    return try_bind(surroundings, SOCK_STREAM, 80, false);
}

/* With SO_REUSEPORT, two sockets share a port, and the second gets half of the connections. */
int network_listen_shared(const struct surroundings *surroundings) {
    if (surroundings->tcp_loopback_port < 0)
        return absent("tcp_loopback_port is not told");
    return try_bind(surroundings, SOCK_STREAM, surroundings->tcp_loopback_port, true);
}

int network_listen_abstract(const struct surroundings *surroundings) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0breach-attempt"};
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return refused(surroundings, "socket");
    int result = bind(descriptor, (struct sockaddr *)&address, sizeof address);
    int outcome = judged(surroundings, result, "bind", "has the name");
    close(descriptor);
    return outcome;
}

/* ---- the network itself ---- */

/* Sets the loopback interface's flags to their current values. */
int network_interface(const struct surroundings *surroundings) {
    struct ifreq request = {.ifr_name = "lo"};
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return refused(surroundings, "socket");
    int result = ioctl(descriptor, SIOCGIFFLAGS, &request);
    if (result == 0)
        result = ioctl(descriptor, SIOCSIFFLAGS, &request);
    int outcome = judged(surroundings, result, "ioctl", "could set up and take down interfaces");
    close(descriptor);
    return outcome;
}

int network_tunnel(const struct surroundings *surroundings) {
    struct ifreq request = {.ifr_name = "breach%d", .ifr_flags = 0x1001 /* IFF_TUN without headers */};
    int descriptor = openat(AT_FDCWD, "/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        return refused(surroundings, "openat");
    int outcome = judged(surroundings, ioctl(descriptor, 0x400454ca /* TUNSETIFF */, &request), "ioctl",
                         "has an interface of its own");
    close(descriptor);
    return outcome;
}

int network_see_connections(const struct surroundings *surroundings) {
    static char text[65536];
    static const char hex[] = "0123456789ABCDEF";
    long port = surroundings->tcp_loopback_port;
    if (port < 0)
        return absent("tcp_loopback_port is not told");
    const char wanted[] = {':', hex[port >> 12 & 15], hex[port >> 8 & 15], hex[port >> 4 & 15], hex[port & 15], ' ',
                           '\0'};
    int file = openat(AT_FDCWD, "/proc/net/tcp", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return refused(surroundings, "openat");
    size_t size = 0;
    ssize_t got;
    while (size < sizeof text && (got = read(file, text + size, sizeof text - size)) > 0)
        size += (size_t)got;
    close(file);
    return holds(text, size, wanted) ? succeeded("saw the other service's port") : contained("saw no other's port");
}
