/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "visits.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADER_MAX 1029  /* status, space, META of 1024 bytes, CRLF */
#define STANDSTILL 30000 /* milliseconds */
#define EVENTS_AT_ONCE 64

struct visit {
    int socket; /* -1: this slot is free */
    int events; /* the epoll instance that watches it */
    SSL *session;
    EVP_MD_CTX *digest;
    bool asked, in_body;
    char header[HEADER_MAX];
    size_t header_size;
    uint64_t size; /* bytes of the body so far */
    uint64_t begun;
};

static uint64_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int take_session(SSL *session, SSL_SESSION *ticket) {
    struct visits *visits = SSL_get_app_data(session);
    SSL_SESSION_free(visits->session);
    visits->session = ticket;
    return 1; /* takes ownership */
}

/* ---- beginning and end ---- */

/* keep: the connection stays open, but only its socket is kept. */
static void leave(struct visits *visits, struct visit *visit, bool keep) {
    if (visit->session) {
        visits->reused += keep || !visits->resumed ? 0 : (size_t)SSL_session_reused(visit->session);
        /* Sends nothing. Without it, OpenSSL resumes no session of a connection that did not send close_notify. */
        SSL_set_shutdown(visit->session, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(visit->session);
    }
    if (keep) /* otherwise its events would be taken for those of the next visit in this slot */
        epoll_ctl(visit->events, EPOLL_CTL_DEL, visit->socket, NULL);
    else if (visit->socket >= 0)
        close(visit->socket);
    visit->session = NULL;
    visit->socket = -1;
}

static void fail(struct visits *visits, struct visit *visit, const char *why) {
    if (!visits->first_error)
        visits->first_error = why;
    visits->errors++;
    leave(visits, visit, false);
}

static void succeed(struct visits *visits, struct visit *visit) {
    bool keep = visits->goal == GOAL_STAY || visits->goal == GOAL_MIDST;
    if (keep)
        visits->open[visits->done] = visit->socket;
    visits->latencies[visits->done++] = (uint32_t)(microseconds() - visit->begun);
    visits->bytes += visit->size;
    leave(visits, visit, keep);
}

static bool begin(struct visits *visits, struct visit *visit, int events) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = visit};
    EVP_MD_CTX *digest = visit->digest;
    *visit = (struct visit){.socket = -1, .events = events, .digest = digest, .begun = microseconds()};
    visit->socket = socket(visits->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    visit->session = SSL_new(visits->context);
    if (visit->socket < 0 || !visit->session || epoll_ctl(events, EPOLL_CTL_ADD, visit->socket, &event) < 0)
        return false;
    if (!visits->nagle)
        setsockopt(visit->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    SSL_set_app_data(visit->session, visits);
    SSL_set_fd(visit->session, visit->socket);
    if (visits->goal == GOAL_MIDST) { /* ignores what the server sends */
        BIO *nothing = BIO_new(BIO_s_mem());
        if (!nothing)
            return false;
        BIO_set_mem_eof_return(nothing, -1);
        SSL_set0_rbio(visit->session, nothing);
    }
    SSL_set_tlsext_host_name(visit->session, visits->host);
    SSL_set_connect_state(visit->session);
    if (visits->resumed && visits->session) { /* a copy, because OpenSSL resumes each session only once */
        SSL_SESSION *session = SSL_SESSION_dup(visits->session);
        SSL_set_session(visit->session, session);
        SSL_SESSION_free(session);
    }
    EVP_DigestInit_ex(visit->digest, EVP_sha256(), NULL);
    return connect(visit->socket, (const struct sockaddr *)&visits->address, visits->address_size) == 0 ||
           errno == EINPROGRESS;
}

/* ---- reply ---- */

/* Reads bytes of the reply. Returns false if it is not one with status 20. */
static bool take(struct visit *visit, const char *bytes, size_t size) {
    size_t taken = 0;
    while (!visit->in_body && taken < size) {
        if (visit->header_size == HEADER_MAX)
            return false;
        visit->header[visit->header_size++] = bytes[taken++];
        visit->in_body = visit->header_size >= 2 && memcmp(visit->header + visit->header_size - 2, "\r\n", 2) == 0;
    }
    if (visit->in_body && memcmp(visit->header, "20 ", 3) != 0)
        return false;
    EVP_DigestUpdate(visit->digest, bytes + taken, size - taken);
    visit->size += size - taken;
    return true;
}

/* Checks a reply that ended with close_notify. Returns NULL if it is correct, otherwise what is wrong. */
static const char *judge(const struct visits *visits, const struct visit *visit) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (!visit->in_body)
        return "no reply";
    if (visits->has_size && visit->size != visits->size)
        return "the body has another size";
    EVP_DigestFinal_ex(visit->digest, digest, NULL);
    if (visits->has_digest && memcmp(digest, visits->digest, sizeof visits->digest) != 0)
        return "the body has other bytes";
    return NULL;
}

/* ---- progress of a visit ---- */

static void read_reply(struct visits *visits, struct visit *visit) {
    static char bytes[65536];
    int got;
    while ((got = SSL_read(visit->session, bytes, sizeof bytes)) > 0) {
        if (!take(visit, bytes, (size_t)got)) {
            fail(visits, visit, "another status than 20");
            return;
        }
    }
    int error = SSL_get_error(visit->session, got);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return;
    if (error != SSL_ERROR_ZERO_RETURN) {
        fail(visits, visit, "the reply ended without close_notify");
        return;
    }
    const char *problem = judge(visits, visit);
    if (problem)
        fail(visits, visit, problem);
    else
        succeed(visits, visit);
}

/* OpenSSL's reason, for instance the alert that the server sent. */
static const char *why_handshake_failed(int error) {
    static char text[256];
    unsigned long reason = ERR_peek_error();
    if (error == SSL_ERROR_SSL && reason != 0)
        snprintf(text, sizeof text, "the handshake failed: %s", ERR_error_string(reason, NULL));
    else
        snprintf(text, sizeof text, "the handshake failed: the connection ended (%s)", errno ? strerror(errno) : "EOF");
    return text;
}

/* Continues the visit as far as possible. */
static void advance(struct visits *visits, struct visit *visit, bool readable) {
    if (!SSL_is_init_finished(visit->session)) {
        /* Leaves the server's response to the ClientHello unread in the socket, so that the server waits. */
        if (visits->goal == GOAL_MIDST && visit->asked && readable) {
            succeed(visits, visit);
            return;
        }
        ERR_clear_error();
        int result = SSL_do_handshake(visit->session);
        int error = SSL_get_error(visit->session, result);
        visit->asked = error == SSL_ERROR_WANT_READ;
        if (result != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            fail(visits, visit, why_handshake_failed(error));
        if (result != 1)
            return;
        visit->asked = false;
    }
    if (visits->goal == GOAL_STAY || visits->goal == GOAL_HANDSHAKE) {
        if (visits->goal == GOAL_HANDSHAKE)
            SSL_shutdown(visit->session);
        succeed(visits, visit);
        return;
    }
    if (!visit->asked && SSL_write(visit->session, visits->request, (int)strlen(visits->request)) <= 0) {
        fail(visits, visit, "the request could not be sent");
        return;
    }
    visit->asked = true;
    read_reply(visits, visit);
}

/* ---- all of them ---- */

static size_t begin_free(struct visits *visits, struct visit *places, int events, size_t begun) {
    for (size_t i = 0; i < visits->at_once && begun < visits->count; i++) {
        if (places[i].socket >= 0)
            continue;
        if (!begin(visits, &places[i], events))
            fail(visits, &places[i], "no connection");
        begun++;
    }
    return begun;
}

static bool run(struct visits *visits, struct visit *places, int events) {
    struct epoll_event list[EVENTS_AT_ONCE];
    size_t begun = 0;
    while (visits->done + visits->errors < visits->count) {
        begun = begin_free(visits, places, events, begun);
        if (visits->done + visits->errors == visits->count)
            break;
        int count = epoll_wait(events, list, EVENTS_AT_ONCE, STANDSTILL);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            visits->first_error = "nothing moved for half a minute";
            return false;
        }
        for (int i = 0; i < count; i++) {
            struct visit *visit = list[i].data.ptr;
            if (visit->socket >= 0)
                advance(visits, visit, list[i].events & EPOLLIN);
        }
    }
    return true;
}

bool visits_make(struct visits *visits) {
    struct visit *places = calloc(visits->at_once, sizeof *places);
    int events = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start = microseconds();
    bool well;
    visits->latencies = calloc(visits->count + 1, sizeof *visits->latencies);
    visits->open = calloc(visits->count + 1, sizeof *visits->open);
    well = places && visits->latencies && visits->open && events >= 0;
    for (size_t i = 0; well && i < visits->at_once; i++) {
        places[i].socket = -1;
        places[i].digest = EVP_MD_CTX_new();
        well = places[i].digest != NULL;
    }
    if (visits->resumed) {
        SSL_CTX_set_session_cache_mode(visits->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(visits->context, take_session);
    }
    well = well && run(visits, places, events);
    visits->seconds = (double)(microseconds() - start) / 1e6;
    for (size_t i = 0; places && i < visits->at_once; i++) {
        leave(visits, &places[i], false);
        EVP_MD_CTX_free(places[i].digest);
    }
    free(places);
    if (events >= 0)
        close(events);
    return well;
}

size_t visits_lost(const struct visits *visits) {
    bool stay = visits->goal == GOAL_STAY || visits->goal == GOAL_MIDST;
    size_t lost = 0;
    for (size_t i = 0; stay && i < visits->done; i++) {
        struct pollfd watched = {.fd = visits->open[i], .events = POLLRDHUP};
        lost += poll(&watched, 1, 0) > 0 && (watched.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
    }
    return lost;
}

void visits_end(struct visits *visits) {
    bool stay = visits->goal == GOAL_STAY || visits->goal == GOAL_MIDST;
    for (size_t i = 0; stay && i < visits->done; i++)
        close(visits->open[i]);
    free(visits->latencies);
    free(visits->open);
    SSL_SESSION_free(visits->session);
    visits->latencies = NULL;
    visits->open = NULL;
    visits->session = NULL;
}
