/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "attack.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

#define PAUSE 50          /* milliseconds between two bytes of clients that dribble or sip */
#define HELD 20           /* milliseconds that clients stay before they hang up */
#define OPENED_AT_ONCE 50 /* between two checks of the open connections */
#define PENDING_MAX 4096
#define REKEYS 1000 /* the server's responses exceed a socket's buffer */

struct visitor {
    int socket; /* -1: the slot is free */
    enum attack_point at, goal;
    bool done;     /* the deed is done or in progress */
    uint64_t next; /* time of the next byte */
    SSL *tls;
    BIO *in, *out;
    char pending[PENDING_MAX]; /* bytes to be sent */
    size_t pending_size;
};

struct crowd {
    const struct attack *attack;
    struct attack_course *course;
    SSL_CTX *context;
    struct visitor *visitors;
    int events;
    size_t number; /* of the next visitor */
};

/* ---- opening and closing ---- */

static void leave(struct crowd *crowd, struct visitor *visitor, bool sent_away) {
    crowd->course->ended += sent_away;
    close(visitor->socket);
    visitor->socket = -1;
    SSL_free(visitor->tls);
    visitor->tls = NULL;
}

static bool reads_little(enum attack_deed deed) {
    return deed == DEED_SIP || deed == DEED_SILENCE || deed == DEED_REKEY || deed == DEED_HANG_UP;
}

/* Connects from many addresses of this machine, so that the ports do not run out. */
static int reach(const struct crowd *crowd) {
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7f010001 + (uint32_t)crowd->number % 4096)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(crowd->attack->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_usec = 200000}, sizeof(struct timeval));
    if (reads_little(crowd->attack->deed))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    if (bind(descriptor, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(descriptor, (struct sockaddr *)&to, sizeof to) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

static bool introduce(const struct crowd *crowd, int descriptor) {
    char header[96];
    if (crowd->attack->proxied_addresses == 0)
        return true;
    size_t number = crowd->number % crowd->attack->proxied_addresses;
    size_t prefixes = crowd->attack->proxied_prefixes;
    int size = prefixes > 0
                   ? snprintf(header, sizeof header, "PROXY TCP6 2001:db8:%zx:%zx::1 2001:db8::1 1965 1965\r\n",
                              number % prefixes, number / prefixes)
                   : snprintf(header, sizeof header, "PROXY TCP4 10.0.%zu.%zu 192.0.2.1 1965 1965\r\n", number / 250,
                              number % 250 + 1);
    return send(descriptor, header, (size_t)size, MSG_NOSIGNAL) == size;
}

static bool open_session(const struct crowd *crowd, struct visitor *visitor) {
    visitor->tls = SSL_new(crowd->context);
    visitor->in = BIO_new(BIO_s_mem());
    visitor->out = BIO_new(BIO_s_mem());
    if (!visitor->tls || !visitor->in || !visitor->out)
        return false;
    BIO_set_mem_eof_return(visitor->in, -1);
    SSL_set_bio(visitor->tls, visitor->in, visitor->out);
    SSL_set_connect_state(visitor->tls);
    return SSL_set_tlsext_host_name(visitor->tls, "localhost") == 1;
}

static void come(struct crowd *crowd, struct visitor *visitor) {
    const struct attack *attack = crowd->attack;
    *visitor = (struct visitor){.socket = reach(crowd)};
    visitor->goal = attack->point == POINT_EACH ? (enum attack_point)(crowd->number % POINT_COUNT) : attack->point;
    if (visitor->socket < 0) {
        crowd->course->refused++;
        return;
    }
    crowd->number++;
    crowd->course->begun++;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = visitor};
    if (!introduce(crowd, visitor->socket) ||
        ((visitor->goal > POINT_CONNECTED || attack->deed == DEED_DRIBBLE) && !open_session(crowd, visitor)) ||
        epoll_ctl(crowd->events, EPOLL_CTL_ADD, visitor->socket, &event) < 0)
        leave(crowd, visitor, false);
}

/* ---- honest behaviour ---- */

/* Reads the records that OpenSSL made. */
static void collect(struct visitor *visitor) {
    int got = BIO_read(visitor->out, visitor->pending + visitor->pending_size,
                       (int)(sizeof visitor->pending - visitor->pending_size));
    visitor->pending_size += got > 0 ? (size_t)got : 0;
}

static bool push(struct visitor *visitor, size_t size) {
    ssize_t sent = size > 0 ? send(visitor->socket, visitor->pending, size, MSG_NOSIGNAL) : 0;
    if (sent < 0)
        return false;
    visitor->pending_size -= (size_t)sent;
    memmove(visitor->pending, visitor->pending + sent, visitor->pending_size);
    return true;
}

/* Sends the collected bytes, or only half of them if the goal is in the middle. */
static bool arrive(struct visitor *visitor, enum attack_point half) {
    collect(visitor);
    bool within = visitor->goal == half;
    visitor->at = within ? half : half + 1;
    return push(visitor, within ? visitor->pending_size / 2 : visitor->pending_size);
}

static bool receive(struct visitor *visitor, size_t most) {
    char bytes[16384];
    ssize_t got = recv(visitor->socket, bytes, most < sizeof bytes ? most : sizeof bytes, MSG_DONTWAIT);
    if (got > 0 && visitor->tls)
        BIO_write(visitor->in, bytes, (int)got);
    return got > 0 || (got < 0 && errno == EAGAIN);
}

/* Does one step if possible. Returns false if the connection has ended. */
static bool go_on(const struct crowd *crowd, struct visitor *visitor, bool readable) {
    const char *request = crowd->attack->request;
    char byte;
    switch (visitor->at) {
    case POINT_CONNECTED:
        SSL_do_handshake(visitor->tls);
        return arrive(visitor, POINT_GREETING);
    case POINT_GREETED:
        if (readable && !receive(visitor, SIZE_MAX))
            return false;
        SSL_do_handshake(visitor->tls);
        return !SSL_is_init_finished(visitor->tls) || arrive(visitor, POINT_FINISHING);
    case POINT_SHAKEN:
        SSL_write(visitor->tls, request, (int)strlen(request));
        return arrive(visitor, POINT_ASKING);
    case POINT_ASKED:
        if (readable)
            visitor->at = POINT_READING;
        return !readable || recv(visitor->socket, &byte, 1, MSG_DONTWAIT) != 0;
    default:
        return true;
    }
}

/* ---- deeds ---- */

static bool ask_for_keys(struct visitor *visitor) {
    bool there = true;
    for (int i = 0; i < REKEYS && there; i++) {
        SSL_key_update(visitor->tls, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(visitor->tls);
        collect(visitor);
        there = push(visitor, visitor->pending_size);
    }
    return there;
}

static bool do_deed(const struct crowd *crowd, struct visitor *visitor) {
    static const char alert[] = "\x15\x03\x03\x00\x02\x02\x28"; /* handshake_failure */
    char garbage[512];
    switch (crowd->attack->deed) {
    case DEED_GARBAGE:
        for (size_t i = 0; i < sizeof garbage; i++)
            garbage[i] = (char)random();
        return send(visitor->socket, garbage, sizeof garbage, MSG_NOSIGNAL) >= 0;
    case DEED_ALERT:
        return send(visitor->socket, alert, sizeof alert - 1, MSG_NOSIGNAL) >= 0;
    case DEED_RESET:
        setsockopt(visitor->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        return false;
    case DEED_HALF_CLOSE:
        return shutdown(visitor->socket, SHUT_WR) == 0;
    case DEED_LEAVE:
        return false;
    case DEED_HANG_UP:
        visitor->next = gemini_now() + HELD;
        setsockopt(visitor->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        return true;
    case DEED_REKEY:
        return ask_for_keys(visitor);
    case DEED_RECORDED:
        return send(visitor->socket, crowd->attack->recorded, crowd->attack->recorded_size, MSG_NOSIGNAL) >= 0;
    default:
        return true;
    }
}

/* Clients that dribble send what is left of this part byte by byte, and then the next parts. */
static bool dribble(const struct crowd *crowd, struct visitor *visitor, bool readable) {
    if (visitor->pending_size > 0)
        return push(visitor, 1);
    if (visitor->at == POINT_CONNECTED) {
        SSL_do_handshake(visitor->tls);
        visitor->at = POINT_GREETED;
    } else if (visitor->at == POINT_SHAKEN) {
        SSL_write(visitor->tls, crowd->attack->request, (int)strlen(crowd->attack->request));
        visitor->at = POINT_ASKED;
    } else if (readable) {
        return receive(visitor, SIZE_MAX);
    }
    collect(visitor);
    return true;
}

/* Behaves honestly until the goal is reached, then does the deed. Returns false if the connection has ended. */
static bool act(struct crowd *crowd, struct visitor *visitor, uint32_t events, uint64_t now) {
    enum attack_deed deed = crowd->attack->deed;
    bool readable = events & EPOLLIN;
    for (enum attack_point before = POINT_COUNT; visitor->at < visitor->goal && visitor->at != before;) {
        before = visitor->at;
        if (!go_on(crowd, visitor, readable))
            return false;
        readable = false;
    }
    if (visitor->at < visitor->goal)
        return !(events & (EPOLLHUP | EPOLLERR));
    if (!visitor->done) {
        visitor->done = true;
        crowd->course->arrived++;
        if (deed != DEED_DRIBBLE && deed != DEED_SIP &&
            deed != DEED_REKEY) { /* saves memory, so that ten thousand clients do not fill this machine */
            SSL_free(visitor->tls);
            visitor->tls = NULL;
        }
        /* Clients that do not read must not be woken by waiting data. */
        struct epoll_event event = {.events = reads_little(deed) ? EPOLLRDHUP : EPOLLIN | EPOLLRDHUP,
                                    .data.ptr = visitor};
        epoll_ctl(crowd->events, EPOLL_CTL_MOD, visitor->socket, &event);
        return do_deed(crowd, visitor);
    }
    if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        return false;
    if (deed == DEED_HANG_UP)
        return now < visitor->next;
    if (deed == DEED_DRIBBLE || deed == DEED_SIP) {
        if (now < visitor->next)
            return true;
        visitor->next = now + PAUSE;
        if (deed == DEED_DRIBBLE)
            return dribble(crowd, visitor, readable);
        char byte;
        return recv(visitor->socket, &byte, 1, MSG_DONTWAIT) != 0;
    }
    return reads_little(deed) || !readable || receive(visitor, SIZE_MAX);
}

/* ---- main loop ---- */

static void act_or_leave(struct crowd *crowd, struct visitor *visitor, uint32_t events, uint64_t now) {
    enum attack_deed deed = crowd->attack->deed;
    if (!act(crowd, visitor, events, now))
        leave(crowd, visitor, visitor->done && deed != DEED_RESET && deed != DEED_LEAVE && deed != DEED_HANG_UP);
}

static void fill_up(struct crowd *crowd, uint64_t now) {
    size_t opened = 0;
    for (size_t i = 0; i < crowd->attack->crowd && opened < OPENED_AT_ONCE; i++) {
        struct visitor *visitor = &crowd->visitors[i];
        if (visitor->socket >= 0 || crowd->number >= crowd->attack->most)
            continue;
        opened++;
        come(crowd, visitor);
        if (visitor->socket >= 0)
            act_or_leave(crowd, visitor, 0, now);
    }
}

static void rampage(struct crowd *crowd) {
    const struct attack *attack = crowd->attack;
    struct epoll_event events[256];
    uint64_t begun = gemini_now(), end = begun + attack->duration;
    bool paces = attack->deed == DEED_DRIBBLE || attack->deed == DEED_SIP || attack->deed == DEED_HANG_UP;
    for (;;) {
        uint64_t now = gemini_now();
        /* On a busy machine, it takes longer until all clients have connected. */
        bool goes_on = now < end || (crowd->number < attack->crowd && now < begun + 10 * (uint64_t)attack->duration);
        crowd->course->over = !goes_on;
        if (goes_on)
            fill_up(crowd, now);
        int count = epoll_wait(crowd->events, events, 256, goes_on ? 1 : 20);
        for (int i = 0; i < count; i++)
            act_or_leave(crowd, events[i].data.ptr, events[i].events, now);
        for (size_t i = 0; paces && i < attack->crowd; i++) {
            struct visitor *visitor = &crowd->visitors[i];
            if (visitor->socket >= 0 && visitor->done && now >= visitor->next)
                act_or_leave(crowd, visitor, 0, now);
        }
    }
}

static void become_crowd(const struct attack *attack, struct attack_course *course) {
    struct crowd crowd = {.attack = attack, .course = course, .events = epoll_create1(EPOLL_CLOEXEC)};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpriority(PRIO_PROCESS, 0, 10); /* low priority, because real attackers do not use the server's processor */
    crowd.context = SSL_CTX_new(TLS_client_method());
    crowd.visitors = calloc(attack->crowd, sizeof *crowd.visitors);
    if (!crowd.context || !crowd.visitors || crowd.events < 0)
        _exit(1);
    SSL_CTX_set_min_proto_version(crowd.context, TLS1_3_VERSION);
    for (size_t i = 0; i < attack->crowd; i++)
        crowd.visitors[i].socket = -1;
    rampage(&crowd);
}

pid_t attack_begin(const struct attack *attack, struct attack_course **course) {
    *course = mmap(NULL, sizeof **course, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(*course, MAP_FAILED);
    pid_t process = fork();
    if (process == 0)
        become_crowd(attack, *course);
    cr_assert_gt(process, 0);
    return process;
}

void attack_end(pid_t process, struct attack_course *course) {
    kill(process, SIGKILL);
    waitpid(process, NULL, 0);
    munmap(course, sizeof *course);
}

unsigned attack_seconds(void) {
    const char *text = getenv("ATTACK_SECONDS");
    return text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

void attack_tell(const struct attack_effect *effect) {
    const char *path = getenv("ATTACK_TABLE");
    FILE *table = path ? fopen(path, "a") : NULL;
    if (!table)
        return;
    fprintf(table, "%s | %.1f | %.1f | %.1f | %.1f | %zu of %zu | %zu | %zu\n", effect->attack,
            (double)effect->whole_quiet / 1000, (double)effect->whole_beside / 1000, (double)effect->quiet / 1000,
            (double)effect->beside / 1000, effect->failed, effect->visits, effect->memory_before, effect->memory_after);
    fclose(table);
}
