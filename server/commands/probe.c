/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/probe_address.h"
#include "common/random.h"
#include "common/sandbox.h"
#include "common/socket_address.h"
#include "content/reply.h"
#include "content/uri_host.h"

#define PATIENCE 8000 /* milliseconds for everything */
#define NO_SUCCESS 1  /* exit status for a response that shows a fault */

struct visit {
    const char *address; /* as given on the command line */
    int socket;
    uint64_t give_up;
    int error; /* errno of the connection's failure; 0: none */
    bool has_certificate;
};

/* ---- the connection ---- */

/* Waits for events of the socket. Returns whether they are there in time. */
static bool wait_for(struct visit *visit, short events) {
    struct pollfd watched = {visit->socket, events, 0};
    uint64_t now = clock_milliseconds(), left = visit->give_up > now ? visit->give_up - now : 0;
    struct timespec timeout = {(time_t)(left / 1000), (long)(left % 1000) * 1000000};
    int count = ppoll(&watched, 1, &timeout, NULL);
    if (count <= 0)
        visit->error = count == 0 ? ETIMEDOUT : errno;
    return count > 0;
}

static int receive(WOLFSSL *session, char *bytes, int size, void *context) {
    struct visit *visit = context;
    (void)session;
    if (!wait_for(visit, POLLIN))
        return WOLFSSL_CBIO_ERR_TIMEOUT;
    ssize_t got = recv(visit->socket, bytes, (size_t)size, MSG_DONTWAIT);
    if (got < 0)
        visit->error = errno;
    return got > 0 ? (int)got : got == 0 ? WOLFSSL_CBIO_ERR_CONN_CLOSE : WOLFSSL_CBIO_ERR_GENERAL;
}

/* The data is small enough for the socket's buffer. */
static int transmit(WOLFSSL *session, char *bytes, int size, void *context) {
    struct visit *visit = context;
    (void)session;
    ssize_t sent = send(visit->socket, bytes, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        visit->error = errno;
    return sent == size ? size : WOLFSSL_CBIO_ERR_GENERAL;
}

/*
 * On this machine, connects from the address by which the server knows probes. Elsewhere, that address does not exist.
 */
static void show_itself(const struct visit *visit, const union socket_address *to) {
    struct sockaddr_in from = {.sin_family = AF_INET};
    if (to->any.sa_family == AF_INET && ntohl(to->four.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET &&
        probe_address((uint8_t *)&from.sin_addr))
        (void)!bind(visit->socket, (struct sockaddr *)&from, sizeof from);
}

/* Returns the exit status. */
static int reach(struct visit *visit, const union socket_address *to, socklen_t size) {
    socklen_t length = sizeof visit->error;
    visit->socket = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (visit->socket < 0) {
        visit->error = errno;
    } else {
        setsockopt(visit->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        show_itself(visit, to);
        if (connect(visit->socket, &to->any, size) < 0 && errno != EINPROGRESS)
            visit->error = errno;
        else if (wait_for(visit, POLLOUT))
            getsockopt(visit->socket, SOL_SOCKET, SO_ERROR, &visit->error, &length);
    }
    if (visit->error == 0)
        return EX_OK;
    log_line(LOG_LEVEL_ERROR,
             "nothing answers at %s: %s; check that the server runs, and name its address with --address",
             visit->address, strerror(visit->error));
    return EX_UNAVAILABLE;
}

/* ---- TLS ---- */

/* Accepts any certificate, but requires one. */
static int meet(int verified, WOLFSSL_X509_STORE_CTX *store) {
    struct visit *visit = store->userCtx;
    (void)verified;
    visit->has_certificate = store->totalCerts > 0;
    return 1;
}

static WOLFSSL *open_session(struct visit *visit, WOLFSSL_CTX *context, const char *host) {
    struct in6_addr literal;
    WOLFSSL *session = context ? wolfSSL_new(context) : NULL;
    if (!session)
        return NULL;
    wolfSSL_SSLSetIORecv(session, receive);
    wolfSSL_SSLSetIOSend(session, transmit);
    wolfSSL_SetIOReadCtx(session, visit);
    wolfSSL_SetIOWriteCtx(session, visit);
    wolfSSL_set_verify(session, WOLFSSL_VERIFY_PEER, meet);
    wolfSSL_SetCertCbCtx(session, visit);
    bool is_address = inet_pton(AF_INET, host, &literal) == 1 || inet_pton(AF_INET6, host, &literal) == 1;
    if (!is_address) /* RFC 6066 section 3 */
        wolfSSL_UseSNI(session, WOLFSSL_SNI_HOST_NAME, host, (unsigned short)strlen(host));
    return session;
}

/* Reads the header of the response. Returns its status, or 0 if there is no valid one. */
static int read_status(WOLFSSL *session) {
    char header[3];
    int size = 0, got;
    while (size < (int)sizeof header && (got = wolfSSL_read(session, header + size, (int)sizeof header - size)) > 0)
        size += got;
    if (size < (int)sizeof header || header[0] < '1' || header[0] > '6' || header[1] < '0' || header[1] > '9' ||
        (header[2] != ' ' && header[2] != '\r'))
        return 0;
    return (header[0] - '0') * 10 + header[1] - '0';
}

static int tell_failure(const struct visit *visit, const char *what) {
    if (visit->error == ETIMEDOUT)
        log_line(LOG_LEVEL_ERROR, "the server at %s did not answer within %d seconds", visit->address, PATIENCE / 1000);
    else
        log_line(LOG_LEVEL_ERROR, "%s at %s; check that a Gemini server listens there and serves the host", what,
                 visit->address);
    return visit->error == ETIMEDOUT ? EX_UNAVAILABLE : EX_PROTOCOL;
}

/*
 * Does a server with this status work and serve the host? If the first page is missing or only for members, its author
 * decided that, and a restart would change nothing.
 */
static bool is_healthy(int status) {
    return status < STATUS_TEMPORARY_FAILURE || (status >= STATUS_PERMANENT_FAILURE && status <= STATUS_GONE) ||
           status >= STATUS_CERTIFICATE_REQUIRED;
}

/* Makes the request over a connection. Returns the exit status. */
static int ask(struct visit *visit, WOLFSSL *session, const char *authority, uint16_t port) {
    char request[URI_HOST_SIZE + 32];
    int size = snprintf(request, sizeof request, "gemini://%s:%u/\r\n", authority, port);
    if (wolfSSL_connect(session) != WOLFSSL_SUCCESS || !visit->has_certificate)
        return tell_failure(visit, "no TLS 1.3 handshake");
    int status = wolfSSL_write(session, request, size) == size ? read_status(session) : 0;
    if (status == 0)
        return tell_failure(visit, "no Gemini response");
    if (is_healthy(status))
        return EX_OK;
    log_line(LOG_LEVEL_ERROR, "status %d at %s for host %s; the server's log has more", status, visit->address,
             authority);
    return NO_SUCCESS;
}

/* ---- main ---- */

/*
 * Another process may answer instead of the server, or a worker that was taken over, so this process keeps only the
 * socket.
 */
static int give_up_power(void) {
    prctl(PR_SET_NAME, "vitrine-probe");
    int result = random_open();
    if (result == 0)
        result = sandbox_enter(SANDBOX_PROBE, -1);
    if (result == 0)
        return EX_OK;
    log_line(LOG_LEVEL_ERROR, "the probe cannot enter its sandbox: %s", strerror(-result));
    return EX_OSERR;
}

int probe(const char *address, const char *host) {
    struct visit visit = {.address = address, .give_up = clock_milliseconds() + PATIENCE};
    union socket_address to;
    socklen_t size;
    char canonical[HOSTNAME_MAX + 1], authority[URI_HOST_SIZE];
    if (!socket_address_parse(address, &to, &size)) {
        log_line(LOG_LEVEL_ERROR,
                 "--address %s: not an address with a port; write it like 127.0.0.1:1965 or [::1]:1965", address);
        return EX_USAGE;
    }
    if (!hostname_canonical(canonical, host) || !uri_host_write(authority, canonical)) {
        log_line(LOG_LEVEL_ERROR, "probe: this is not the name of a host; write it as your capsule's folder is named");
        return EX_USAGE;
    }
    int status = reach(&visit, &to, size);
    if (status == EX_OK)
        status = give_up_power();
    if (status != EX_OK)
        return status;
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    WOLFSSL *session = open_session(&visit, context, canonical);
    if (!session) {
        log_line(LOG_LEVEL_ERROR, "probe: out of memory");
        return EX_OSERR;
    }
    status = ask(&visit, session, authority, socket_address_port(&to));
    wolfSSL_shutdown(session);
    return status;
}
