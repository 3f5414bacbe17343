/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t gemini_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t deadline_of(const struct gemini_client *client) {
    return gemini_now() + (client->way.patience ? client->way.patience : GEMINI_PATIENCE);
}

/* Waits until the socket is ready. Returns false if that takes too long. */
static bool wait_for(const struct gemini_client *client, short events, uint64_t deadline) {
    struct pollfd watched = {.fd = client->socket, .events = events};
    for (;;) {
        uint64_t now = gemini_now();
        int ready = now < deadline ? poll(&watched, 1, (int)(deadline - now)) : 0;
        if (ready >= 0 || errno != EINTR)
            return ready > 0;
    }
}

/* ---- the connection ---- */

static bool parse_address(const struct gemini_way *way, struct sockaddr_storage *storage, socklen_t *size) {
    const char *text = way->address ? way->address : "127.0.0.1";
    struct sockaddr_in *four = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)storage;
    memset(storage, 0, sizeof *storage);
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(way->port);
        *size = sizeof *four;
        return true;
    }
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(way->port);
    *size = sizeof *six;
    return inet_pton(AF_INET6, text, &six->sin6_addr) == 1;
}

static bool come_from(int descriptor, const char *source) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    return inet_pton(AF_INET, source, &address.sin_addr) == 1 &&
           bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0;
}

static bool connect_in_time(struct gemini_client *client) {
    struct sockaddr_storage address;
    socklen_t size;
    if (!parse_address(&client->way, &address, &size)) {
        errno = EINVAL;
        return false;
    }
    client->socket = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (client->socket < 0 || (client->way.source && !come_from(client->socket, client->way.source)))
        return false;
    /* Sends each piece as a separate segment. */
    setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &(int){!client->way.holds_back}, sizeof(int));
    if (client->way.receive_buffer > 0)
        setsockopt(client->socket, SOL_SOCKET, SO_RCVBUF, &client->way.receive_buffer, sizeof(int));
    if (connect(client->socket, (struct sockaddr *)&address, size) == 0)
        return true;
    if (errno != EINPROGRESS)
        return false;
    if (!wait_for(client, POLLOUT, deadline_of(client))) {
        errno = ETIMEDOUT;
        return false;
    }
    int problem = 0;
    socklen_t length = sizeof problem;
    getsockopt(client->socket, SOL_SOCKET, SO_ERROR, &problem, &length);
    errno = problem;
    return problem == 0 || problem == ECONNRESET; /* it was opened and reset at once, which the next step reports */
}

/* ---- the session ---- */

static int count_ticket(SSL *session, SSL_SESSION *ticket) {
    struct gemini_client *client = SSL_get_app_data(session);
    client->tickets++;
    client->early_data = SSL_SESSION_get_max_early_data(ticket);
    return 0; /* not kept */
}

static void note_alert(const SSL *session, int where, int value) {
    struct gemini_client *client = SSL_get_app_data(session);
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value & 0xff) != SSL_AD_CLOSE_NOTIFY)
        client->alert = value & 0xff;
}

static bool open_session(struct gemini_client *client) {
    const struct gemini_way *way = &client->way;
    client->context = SSL_CTX_new(TLS_client_method());
    if (!client->context)
        return false;
    SSL_CTX_set_verify(client->context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(client->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->context, count_ticket);
    SSL_CTX_set_info_callback(client->context, note_alert);
    if (way->newest_version != 0 && way->newest_version < TLS1_2_VERSION)
        SSL_CTX_set_cipher_list(client->context, "ALL:@SECLEVEL=0"); /* otherwise OpenSSL would not even offer it */
    if (!SSL_CTX_set_min_proto_version(client->context, way->oldest_version) ||
        !SSL_CTX_set_max_proto_version(client->context, way->newest_version) ||
        (way->groups && !SSL_CTX_set1_groups_list(client->context, way->groups)))
        return false;
    if (way->identity && (SSL_CTX_use_certificate_chain_file(client->context, way->identity) != 1 ||
                          SSL_CTX_use_PrivateKey_file(client->context, way->identity, SSL_FILETYPE_PEM) != 1))
        return false;
    if (way->cipher && SSL_CTX_set_ciphersuites(client->context, way->cipher) != 1 &&
        SSL_CTX_set_cipher_list(client->context, way->cipher) != 1)
        return false;
    client->session = SSL_new(client->context);
    client->from_peer = BIO_new(BIO_s_mem());
    client->to_peer = BIO_new(BIO_s_mem());
    if (!client->session || !client->from_peer || !client->to_peer)
        return false;
    BIO_set_mem_eof_return(client->from_peer, -1); /* empty means "try again", not the end */
    SSL_set_bio(client->session, client->from_peer, client->to_peer);
    SSL_set_app_data(client->session, client);
    SSL_set_connect_state(client->session);
    return !way->server_name || SSL_set_tlsext_host_name(client->session, way->server_name);
}

struct gemini_client *gemini_connect(const struct gemini_way *way) {
    struct gemini_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->way = *way;
    client->socket = -1;
    client->alert = -1;
    if (connect_in_time(client)) {
        if (open_session(client))
            return client;
        errno = EPROTO;
    }
    int kept = errno;
    gemini_end(client);
    errno = kept;
    return NULL;
}

/* ---- sending ---- */

static bool send_once(struct gemini_client *client, const char *bytes, size_t size, uint64_t deadline) {
    while (size > 0) {
        ssize_t sent = send(client->socket, bytes, size, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        } else if (errno != EINTR && (errno != EAGAIN || !wait_for(client, POLLOUT, deadline))) {
            return false;
        }
    }
    return true;
}

bool gemini_send_raw(struct gemini_client *client, const void *bytes, size_t size) {
    uint64_t deadline = deadline_of(client);
    size_t piece = client->way.piece ? client->way.piece : size;
    for (size_t at = 0; at < size; at += piece) {
        if (!send_once(client, (const char *)bytes + at, size - at < piece ? size - at : piece, deadline))
            return false;
    }
    return true;
}

/* Sends the records that OpenSSL made. */
static bool flush(struct gemini_client *client) {
    char records[16384];
    int size;
    while ((size = BIO_read(client->to_peer, records, sizeof records)) > 0) {
        if (!gemini_send_raw(client, records, (size_t)size))
            return false;
    }
    return true;
}

bool gemini_send(struct gemini_client *client, const void *bytes, size_t size) {
    size_t piece = client->way.piece ? client->way.piece : size;
    for (size_t at = 0; at < size; at += piece) {
        if (SSL_write(client->session, (const char *)bytes + at, (int)(size - at < piece ? size - at : piece)) <= 0)
            return false;
        if (!flush(client))
            return false;
    }
    return true;
}

/* ---- receiving ---- */

/* Receives once. Returns GEMINI_OPEN if it received *size bytes into `bytes`. */
static enum gemini_progress receive_once(struct gemini_client *client, char *bytes, size_t room, size_t *size,
                                         uint64_t deadline) {
    for (;;) {
        ssize_t got = recv(client->socket, bytes, room, 0);
        if (got > 0) {
            client->raw_received += (size_t)got;
            client->receptions++;
            *size = (size_t)got;
            return GEMINI_OPEN;
        }
        if (got == 0)
            return GEMINI_CUT_OFF;
        if (errno != EAGAIN && errno != EINTR)
            return GEMINI_RESET;
        if (!wait_for(client, POLLIN, deadline))
            return GEMINI_TOO_LATE;
    }
}

/* Waits for bytes and passes them to OpenSSL. */
static enum gemini_progress feed(struct gemini_client *client, uint64_t deadline) {
    char bytes[65536];
    size_t size;
    enum gemini_progress progress = receive_once(client, bytes, sizeof bytes, &size, deadline);
    if (progress == GEMINI_OPEN)
        BIO_write(client->from_peer, bytes, (int)size);
    return progress;
}

bool gemini_shake_hands(struct gemini_client *client) {
    uint64_t deadline = deadline_of(client);
    while (client->progress == GEMINI_OPEN) {
        int result = SSL_do_handshake(client->session);
        bool sent = flush(client);
        if (result == 1)
            return sent;
        if (SSL_get_error(client->session, result) != SSL_ERROR_WANT_READ)
            client->progress = GEMINI_BROKEN;
        else
            client->progress = feed(client, deadline);
    }
    return false;
}

static bool append(struct gemini_reply *reply, const char *bytes, size_t size) {
    char *larger = realloc(reply->bytes, reply->size + size + 1);
    if (!larger)
        return false;
    memcpy(larger + reply->size, bytes, size);
    reply->bytes = larger;
    reply->size += size;
    reply->bytes[reply->size] = '\0';
    return true;
}

/*
 * Parses: reply-header = 2DIGIT [ SP meta ] CRLF, where meta has no CR or LF and at most GEMINI_META_MAX bytes. Tests
 * check whether the META is correct for the status.
 */
static void parse_header(struct gemini_reply *reply) {
    const char *end = reply->bytes ? memmem(reply->bytes, reply->size, "\r\n", 2) : NULL;
    const char *bytes = reply->bytes;
    reply->status = 0;
    if (!end || end - bytes < 2 || bytes[0] < '1' || bytes[0] > '6' || bytes[1] < '0' || bytes[1] > '9')
        return;
    size_t length = (size_t)(end - bytes);
    if (length > 2 &&
        (bytes[2] != ' ' || length - 3 > GEMINI_META_MAX || memchr(bytes, '\n', length) || memchr(bytes, '\0', length)))
        return;
    reply->status = (bytes[0] - '0') * 10 + (bytes[1] - '0');
    snprintf(reply->meta, sizeof reply->meta, "%.*s", length > 2 ? (int)length - 3 : 0, bytes + 3);
    reply->body = end + 2;
    reply->body_size = reply->size - length - 2;
}

/* Nothing but the end of the connection may follow close_notify. */
static bool connection_ends(struct gemini_client *client, uint64_t deadline) {
    char byte;
    size_t size;
    return BIO_ctrl_pending(client->from_peer) == 0 &&
           receive_once(client, &byte, 1, &size, deadline) == GEMINI_CUT_OFF;
}

enum gemini_progress gemini_receive(struct gemini_client *client, struct gemini_reply *reply, size_t enough) {
    uint64_t deadline = deadline_of(client);
    char part[16384];
    while (client->progress == GEMINI_OPEN && (enough == 0 || reply->size < enough)) {
        int got = SSL_read(client->session, part, sizeof part);
        int problem = got > 0 ? SSL_ERROR_NONE : SSL_get_error(client->session, got);
        if (got > 0) {
            if (!append(reply, part, (size_t)got))
                client->progress = GEMINI_BROKEN;
        } else if (problem == SSL_ERROR_ZERO_RETURN && SSL_get_shutdown(client->session) & SSL_RECEIVED_SHUTDOWN) {
            client->progress = GEMINI_CLOSE_NOTIFY;
            reply->connection_ended = connection_ends(client, deadline);
        } else if (problem == SSL_ERROR_WANT_READ) {
            flush(client);
            client->progress = feed(client, deadline);
        } else {
            client->progress = GEMINI_BROKEN;
        }
    }
    reply->progress = client->progress;
    parse_header(reply);
    return reply->progress;
}

size_t gemini_receive_raw(struct gemini_client *client) {
    uint64_t deadline = deadline_of(client);
    char bytes[4096];
    size_t size, sum = 0;
    while ((client->progress = receive_once(client, bytes, sizeof bytes, &size, deadline)) == GEMINI_OPEN)
        sum += size;
    return sum;
}

/* ---- the end ---- */

void gemini_end(struct gemini_client *client) {
    if (!client)
        return;
    if (client->socket >= 0)
        close(client->socket);
    SSL_free(client->session);
    SSL_CTX_free(client->context);
    free(client);
}

void gemini_reply_end(struct gemini_reply *reply) {
    free(reply->bytes);
    memset(reply, 0, sizeof *reply);
}

enum gemini_progress gemini_fetch(const struct gemini_way *way, const void *request, size_t size,
                                  struct gemini_reply *reply) {
    memset(reply, 0, sizeof *reply);
    struct gemini_client *client = gemini_connect(way);
    if (!client)
        return reply->progress = GEMINI_RESET;
    if (gemini_shake_hands(client)) {
        gemini_send(client, request, size); /* even if this fails, an early response may have arrived */
        gemini_receive(client, reply, 0);
    }
    reply->progress = client->progress;
    gemini_end(client);
    return reply->progress;
}

void gemini_fingerprint(const struct gemini_client *client, char fingerprint[static GEMINI_FINGERPRINT_SIZE]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    X509 *certificate = SSL_get0_peer_certificate(client->session);
    fingerprint[0] = '\0';
    if (!certificate || !X509_digest(certificate, EVP_sha256(), digest, &size))
        return;
    for (unsigned i = 0; i < size; i++)
        snprintf(fingerprint + (size_t)3 * i, 4, "%02X%s", digest[i], i + 1 < size ? ":" : "");
}
