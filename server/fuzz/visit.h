/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Visits for a fuzz target: the server's connection.c and the code that it uses. Around them, the target provides the
 * sockets, the event loop and the key process. It checks what must be true of a connection at any time.
 */

#include <errno.h>
#include <inttypes.h>
#include <sanitizer/lsan_interface.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tls_client.h"

#include "common/log.h"

/* ---- sockets, and other calls of connection.c and its parts ---- */

static ssize_t visit_send(int socket, const void *bytes, size_t size, int flags);
static ssize_t visit_receive(int socket, void *bytes, size_t size, int flags);
static int visit_shutdown(int socket, int how);
static int visit_setsockopt(int socket, int level, int name, const void *value, socklen_t size);
static int visit_ioctl(int socket, unsigned long request, int *bytes);
static int visit_close(int socket);
static ssize_t visit_pread(int file, void *bytes, size_t size, off_t at);
static void *visit_take(size_t size);
static void visit_log(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#include <netinet/tcp.h>

#include "worker/connection_io.h"
#include "worker/connection_log.h"
#include "worker/proxy_protocol.h"
#include "worker/response.h"
#define send visit_send
#define recv visit_receive
#define shutdown visit_shutdown
#define setsockopt visit_setsockopt
#define ioctl visit_ioctl
#define close visit_close
#define pread visit_pread
#define block_cache_take visit_take
#define log_line visit_log
#include "worker/connection.c"
#include "worker/connection_io.c"
#include "worker/connection_log.c"
#include "worker/response.c"
#undef send
#undef recv
#undef shutdown
#undef setsockopt
#undef ioctl
#undef close
#undef pread
#undef block_cache_take
#undef log_line

#define VISITS 2
#define QUESTIONS_MAX 64
#define PORT 1965
#define PROXY_PORT 7070
#define UNLIMITED SIZE_MAX
#define ROUNDS_MAX 5000
#define UPDATES_MAX 60   /* with more key update requests at once, there is no space for the reply */
#define MEMORY_MAX 65536 /* bytes of one connection between two steps: at most a few records */

struct visit {
    struct tls_client tls_client;
    struct connection *connection; /* NULL: it has ended or not begun */
    bool begun, proxied, only_1_3;
    uint8_t *arrived; /* WIRE_MAX bytes that the server has not read yet */
    size_t arrived_size;
    uint8_t first; /* the first byte that the server got */
    size_t taken;  /* bytes that the server got */
    size_t room;
    bool left, reset;    /* the client's side */
    bool silent, closed; /* the server's side */
    /* If one of these is set, the visit need not succeed. */
    bool altered, hasty;
    bool early;     /* it sent close_notify instead of a request, and must get a reply */
    bool disguised; /* the server may have received another request than the client sent */
    unsigned updates;
    unsigned replies; /* number in the log */
    bool complete;    /* according to the log */
};

static struct visit visits[VISITS];
static struct worker_context context;
static struct tls *tls_both, *tls_1_3;
static struct signing_client signing_client;
static int key_process; /* the key process's end of the channel */
static struct capsules capsules;
static struct settings settings;
static struct counters counters;
static struct quota_table quota_table;
static const uint8_t hash_key[KEYED_HASH_KEY];
static bool interrupted;
static size_t memory_before;
static size_t file_end;
static struct signing_question questions[QUESTIONS_MAX];
static size_t question_count;
static bool held_back;
static struct visit *served; /* the visit that is being served */
static char admitted[CLIENT_FINGERPRINT + 1];

static struct visit *visit_of(int socket) {
    HOLDS(socket >= 1000 && socket < 1000 + VISITS);
    HOLDS(served == &visits[socket - 1000] && !served->closed);
    return served;
}

static bool is_interrupted(void) {
    bool now = interrupted;
    interrupted = false;
    errno = EINTR;
    return now;
}

static ssize_t visit_send(int socket, const void *bytes, size_t size, int flags) {
    struct visit *visit = visit_of(socket);
    HOLDS(size > 0 && (flags & MSG_NOSIGNAL) && !visit->silent);
    /* The server sends nothing before a client has begun to speak TLS. */
    HOLDS(visit->connection->session != NULL && visit->taken > 0 && (visit->proxied || visit->first == 0x16));
    HOLDS(!visit->connection->response || tls_client_has_shaken(&visit->tls_client));
    if (is_interrupted())
        return -1;
    errno = visit->reset ? ECONNRESET : EAGAIN;
    if (visit->reset)
        return -1;
    if (visit->room == 0) {
        /* The server may close the connection of a client that causes TLS responses and reads none. */
        visit->hasty |= visit->connection->state == STATE_REQUEST;
        return -1;
    }
    if (size > visit->room)
        size = visit->room;
    if (visit->room != UNLIMITED)
        visit->room -= size;
    if (visit->tls_client.session)
        HOLDS(BIO_write(visit->tls_client.incoming, bytes, (int)size) == (int)size);
    return (ssize_t)size;
}

static ssize_t visit_receive(int socket, void *bytes, size_t size, int flags) {
    struct visit *visit = visit_of(socket);
    HOLDS(size > 0 && flags == 0);
    if (is_interrupted())
        return -1;
    errno = visit->reset ? ECONNRESET : EAGAIN;
    if (visit->reset)
        return -1;
    if (visit->arrived_size == 0)
        return visit->left ? 0 : -1;
    if (size > visit->arrived_size)
        size = visit->arrived_size;
    if (visit->taken == 0)
        visit->first = visit->arrived[0];
    memcpy(bytes, visit->arrived, size);
    memmove(visit->arrived, visit->arrived + size, visit->arrived_size - size);
    visit->arrived_size -= size;
    visit->taken += size;
    return (ssize_t)size;
}

static int visit_shutdown(int socket, int how) {
    struct visit *visit = visit_of(socket);
    HOLDS(how == SHUT_WR && !visit->silent);
    visit->silent = true;
    return visit->reset ? -1 : 0;
}

static int visit_setsockopt(int socket, int level, int name, const void *value, socklen_t size) {
    const struct visit *visit = visit_of(socket);
    HOLDS((level == IPPROTO_TCP && name == TCP_QUICKACK && value && size == sizeof(int)) ||
          (level == SOL_SOCKET && name == SO_LINGER && value && size == sizeof(struct linger)) ||
          (level == SOL_SOCKET && name == SO_SNDBUF && value && size == sizeof(int)));
    return visit->reset ? -1 : 0;
}

/* A client with little space has not acknowledged much. */
static int visit_ioctl(int socket, unsigned long request, int *bytes) {
    const struct visit *visit = visit_of(socket);
    HOLDS(request == TIOCOUTQ);
    *bytes = visit->room == UNLIMITED ? 0 : 100000;
    return visit->reset ? -1 : 0;
}

static int visit_close(int socket) {
    visit_of(socket)->closed = true;
    return 0;
}

static ssize_t visit_pread(int file, void *bytes, size_t size, off_t at) {
    if (is_interrupted())
        return -1;
    if ((size_t)at >= file_end)
        return 0;
    if (size > file_end - (size_t)at)
        size = file_end - (size_t)at;
    return pread(file, bytes, size, at);
}

static void *visit_take(size_t size) {
    if (memory_short) {
        memory_short = false;
        return NULL;
    }
    return block_cache_take(size);
}

static void visit_log(enum log_level level, const char *format, ...) {
    static char line[LOG_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    HOLDS(level == LOG_LEVEL_INFO && size > 0 && size < (int)sizeof line);
    for (const char *at = line; *at; at++)
        HOLDS(*at >= ' ' && *at < 0x7f);
    HOLDS(strncmp(line, "request status=", 15) == 0);
    served->replies++;
    served->complete = strstr(line, " complete=yes ") != NULL;
}

/* ---- the worker ---- */

static void finish(struct visit *visit) {
    served = visit;
    connection_end(visit->connection, &context);
    visit->connection = NULL;
    HOLDS(visit->closed);
}

static bool has_question(const struct connection *connection) {
    for (size_t i = 0; i < SIGNING_CLIENT_UNDER_WAY; i++) {
        if (signing_client.slots[i].taken && signing_client.slots[i].request &&
            signing_client.slots[i].request->owner == connection)
            return true;
    }
    for (size_t i = 0; i < SIGNING_CLIENT_LINES; i++) {
        for (const struct signing_client_request *request = signing_client.lines[i].first; request;
             request = request->later) {
            if (request->owner == connection)
                return true;
        }
    }
    return false;
}

static void check_pending(const struct connection *connection) {
    const struct pending *in = &connection->pending_in, *out = &connection->pending_out;
    HOLDS((in->bytes != NULL) == (in->size > 0) && (out->bytes != NULL) == (out->size > 0));
    switch (connection->state) {
    case STATE_PROXY_HEADER:
        HOLDS(in->size < PROXY_HEADER_MAX && !out->bytes);
        break;
    case STATE_HELLO:
        HOLDS(in->size < HELLO_MAX && !out->bytes);
        break;
    case STATE_SIGNATURE:
        HOLDS(in->size <= RECEIVED_MAX && !out->bytes);
        break;
    case STATE_REQUEST:
        HOLDS(in->size <= REQUEST_LINE_MAX && !out->bytes);
        break;
    case STATE_HANDSHAKE:
    case STATE_RESPONSE:
    case STATE_LAST_BYTES:
        HOLDS(!in->bytes && out->size <= TLS_OUTPUT_MAX);
        break;
    default:
        HOLDS(!in->bytes && !out->bytes);
    }
}

static void check_state(const struct visit *visit) {
    const struct connection *connection = visit->connection;
    check_pending(connection);
    HOLDS(connection->state != STATE_WAITING && connection->state < STATE_COUNT);
    HOLDS(visit->proxied || connection->state != STATE_PROXY_HEADER);
    HOLDS((connection->session != NULL) ==
          (connection->state >= STATE_HANDSHAKE && connection->state <= STATE_LAST_BYTES));
    HOLDS((connection->state >= STATE_DRAIN) == visit->silent);
    HOLDS((connection->response != NULL) ==
          (connection->state == STATE_RESPONSE || connection->state == STATE_LAST_BYTES));
    /* After the handshake, the client must have the certificate's key and have finished its own part. */
    if (connection->state == STATE_REQUEST || connection->response)
        HOLDS(tls_client_has_shaken(&visit->tls_client) && !visit->tls_client.is_liar);
    if (connection->response) {
        const struct client *client = &connection->response->client;
        HOLDS(client->has_certificate == visit->tls_client.client.has_certificate);
        HOLDS(client->certificate_state == visit->tls_client.client.certificate_state);
        HOLDS(strcmp(client->fingerprint, visit->tls_client.client.fingerprint) == 0);
    }
}

/* What a connection waits for must be possible, and what all connections share must be clean. */
static void check_wish(const struct visit *visit, enum next next) {
    const struct connection *connection = visit->connection;
    check_state(visit);
    switch (next) {
    case WANT_WRITE:
        HOLDS(connection->response || (connection->state == STATE_HANDSHAKE && connection->pending_out.bytes));
        HOLDS(context.channel.output_size == 0);
        break;
    case WANT_SIGNATURE:
        HOLDS(connection->state == STATE_SIGNATURE && has_question(connection));
        break;
    default:
        HOLDS(connection->state != STATE_SIGNATURE && !connection->response && !connection->pending_out.bytes);
        HOLDS(context.channel.output_size == 0);
        HOLDS(context.channel.input_size == 0 || !connection->session);
    }
}

/* Does the same as loop.c. */
static void apply(struct visit *visit, enum next next, bool fresh) {
    if (next == WANT_CLOSE) {
        finish(visit);
        return;
    }
    check_wish(visit, next);
    if (fresh || next != WANT_SIGNATURE)
        visit->connection->armed = next == WANT_SIGNATURE ? WANT_READ : next;
    HOLDS(memory_used - memory_before <= VISITS * MEMORY_MAX);
}

static void welcome(struct visit *visit) {
    static const uint8_t addresses[VISITS][4] = {{192, 0, 2, 1}, {192, 0, 2, 2}};
    struct client_address from = client_address_of_bytes(addresses[visit - visits], false);
    bool short_of = memory_short;
    visit->begun = true;
    visit->connection = connection_begin(1000 + (int)(visit - visits), visit->proxied ? PROXY_PORT : PORT, &from,
                                         visit->proxied, context.now);
    HOLDS((visit->connection == NULL) == short_of);
    if (visit->connection && !visit->proxied)
        HOLDS(connection_admit(visit->connection, &context) == ADMITTED);
}

static void go_on(struct visit *visit, bool readable) {
    context.tls = visit->only_1_3 ? tls_1_3 : tls_both;
    served = visit;
    apply(visit, connection_continue(visit->connection, &context, readable), visit->taken == 0);
}

/* Runs the connection if there is something to do. Returns whether there was. */
static bool turn(struct visit *visit) {
    struct connection *connection = visit->connection;
    bool readable = visit->arrived_size > 0 || visit->left || visit->reset;
    if (!connection)
        return false;
    if (connection->state == STATE_SIGNATURE) {
        if (readable)
            connection->armed = WANT_SIGNATURE; /* it ignores its socket until the signature arrives */
        return false;
    }
    if (connection->armed == WANT_NEWS && !visit->reset && visit->room != UNLIMITED)
        return false;
    if (connection->armed == WANT_WRITE ? visit->room == 0 && !visit->reset : !readable)
        return false;
    go_on(visit, connection->armed != WANT_WRITE);
    return true;
}

static void signed_for(void *owner, const uint8_t *signature, size_t size, void *unused) {
    (void)unused;
    for (size_t i = 0; i < VISITS; i++) {
        if (visits[i].connection == owner) {
            served = &visits[i];
            context.tls = served->only_1_3 ? tls_1_3 : tls_both;
            apply(served, connection_sign(owner, &context, signature, size), false);
            return;
        }
    }
    HOLDS(!"an answer for nobody");
}

/* ---- the key process ---- */

static void take_questions(void) {
    signing_client_send(&signing_client);
    while (question_count < QUESTIONS_MAX) {
        ssize_t got = recv(key_process, &questions[question_count], sizeof *questions, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0)
            return;
        HOLDS(signing_question_is_valid(&questions[question_count], (size_t)got));
        question_count++;
    }
}

static void send_answer(const struct signing_answer *answer, size_t size) {
    HOLDS(send(key_process, answer, size, 0) == (ssize_t)size);
    HOLDS(signing_client_receive(&signing_client, signed_for, NULL));
}

static enum signing_result sign_question(const struct signing_question *question, uint8_t *signature, size_t *size) {
    uint8_t message[SIGNING_MESSAGE_MAX];
    for (size_t i = 0; i < IDENTITIES; i++) {
        if (memcmp(identities[i].public.key_id, question->key_id, SIGNING_KEY_ID) == 0)
            return identity_sign(&identities[i], question->scheme, message, signing_message(question, message),
                                 signature, size);
    }
    HOLDS(!"a question about an unknown key");
    return SIGNING_REFUSED;
}

/* Answers the oldest question in the way that `how` says. Returns whether there was one. */
static bool give_signature(uint8_t how) {
    static struct signing_answer answer;
    uint8_t signature[SIGNING_SIGNATURE_MAX] = {0};
    size_t size = 0;
    take_questions();
    if (how == 'Z') { /* a request_id that nobody has, then an incomplete answer */
        signing_reply(&answer, 0x1234567880000001, SIGNING_DONE, signature, 64);
        send_answer(&answer, sizeof answer);
        send_answer(&answer, 8);
        return false;
    }
    if (question_count == 0)
        return false;
    struct signing_question question = questions[0];
    memmove(questions, questions + 1, --question_count * sizeof *questions);
    enum signing_result result = sign_question(&question, signature, &size);
    /* wolfSSL asks for ECDSA if a TLS 1.2 client does not support the identity's own scheme. */
    HOLDS(result == SIGNING_DONE || visits[0].altered || visits[1].altered);
    if (how == 'F')
        result = SIGNING_REFUSED;
    if (how == 'B')
        signature[size / 2] ^= 0x55;
    for (size_t i = 0; how != 'A' && i < VISITS; i++)
        visits[i].altered = true;
    signing_reply(&answer, question.request_id, result, signature, size);
    served = NULL;
    send_answer(&answer, sizeof answer);
    if (how == 'F' && served)
        HOLDS(!served->connection || served->connection->state == STATE_DRAIN);
    return true;
}

/* ---- the clients ---- */

static void begin_to_speak(struct visit *visit) {
    visit->hasty |= visit->only_1_3 && visit->tls_client.version == TLS1_2_VERSION;
    static const uint8_t change[] = {0x14, 3, 3, 0, 1, 1}; /* RFC 8446 appendix D.4 */
    static const uint8_t header[] = "PROXY TCP4 198.51.100.1 192.0.2.1 5555 1965\r\n";
    if (visit->tls_client.session)
        return;
    tls_client_begin(&visit->tls_client);
    if (visit->proxied)
        wire_insert(&visit->tls_client, 0, header, sizeof header - 1);
    welcome(visit);
    tls_client_act(&visit->tls_client);
    if (visit->tls_client.changes_early) {
        visit->altered |= visit->tls_client.version == TLS1_2_VERSION;
        wire_insert(&visit->tls_client, visit->tls_client.wire_size, change, sizeof change);
    }
}

/* Delivers up to `size` bytes to the server. Returns whether there were any. */
static bool carry(struct visit *visit, size_t size) {
    size_t most = WIRE_MAX - visit->arrived_size;
    if (size > visit->tls_client.wire_size)
        size = visit->tls_client.wire_size;
    if (size > most)
        size = most;
    if (visit->left || visit->reset)
        size = 0;
    memcpy(visit->arrived + visit->arrived_size, visit->tls_client.wire, size);
    visit->arrived_size += size;
    wire_cut(&visit->tls_client, 0, size);
    return size > 0;
}

/* Lets everybody act until nothing changes any more. */
static void settle(void) {
    bool sent = true;
    for (int round = 0; sent; round++) {
        HOLDS(round < ROUNDS_MAX);
        sent = false;
        for (size_t i = 0; i < VISITS; i++) {
            struct visit *visit = &visits[i];
            if (!visit->tls_client.session)
                continue;
            sent |= tls_client_act(&visit->tls_client);
            sent |= carry(visit, WIRE_MAX);
            sent |= turn(visit);
            if (!held_back && visit->connection && visit->connection->state == STATE_SIGNATURE)
                sent |= give_signature('A');
        }
    }
}

/* ---- from beginning to end ---- */

static void start(void) {
    /* Not in the visits, because these are cleared for each input. */
    static uint8_t wires[VISITS][WIRE_MAX], arrived[VISITS][WIRE_MAX];
    static char said[VISITS][SAID_MAX], heard[VISITS][HEARD_MAX];
    memset(&counters, 0, sizeof counters);
    context.now = 1000000;
    context.remarks = (struct remarks){0};
    random_begin();
    file_end = UNLIMITED;
    held_back = interrupted = memory_short = false;
    disguise.changes_byte = disguise.changes_type = false;
    question_count = 0;
    for (size_t i = 0; i < VISITS; i++) {
        visits[i] = (struct visit){.arrived = arrived[i], .room = UNLIMITED};
        visits[i].tls_client.wire = wires[i];
        visits[i].tls_client.said = said[i];
        visits[i].tls_client.heard = heard[i];
        strcpy(visits[i].tls_client.groups, "X25519:P-256");
        strcpy(visits[i].tls_client.name, "localhost");
    }
}

static void clean_up(void) {
    tls_close(tls_both);
    tls_close(tls_1_3);
    certificates_dispose(&certificates);
    for (size_t i = 0; i < IDENTITIES; i++)
        identity_dispose(&identities[i]);
    tls_clients_close();
}

/* Recording where a block was allocated takes longer than most of what is done with it. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "malloc_context_size=8:quarantine_size_mb=64";
}

static void visits_open(void) {
    int channel[2];
    random_begin();
    memory_for_openssl();
    random_for_openssl();
    log_limit(LOG_LEVEL_ERROR);
    HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0);
    signing_client_open(&signing_client, channel[0]);
    key_process = channel[1];
    tls_take_memory();
    tls_clients_open();
    __lsan_disable(); /* keys are in separate memory that the leak sanitizer does not search */
    open_identities();
    __lsan_enable();
    describe_fingerprint(admitted, kinds[0].der, (size_t)kinds[0].der_size);
    make_content(admitted);
    HOLDS(capsules_open(&capsules, content) == 0);
    settings_default(&settings);
    settings.log_addresses = LOG_ADDRESSES_OFF;
    settings.advertised_ports = (struct settings_ports){.ports = {PORT}, .count = 1};
    tls_both = tls_open(&certificates, "localhost", false, &context.channel, &signing_client);
    tls_1_3 = tls_open(&certificates, "localhost", true, &context.channel, &signing_client);
    HOLDS(tls_both && tls_1_3);
    context.capsules = &capsules;
    context.settings = &settings;
    context.hash_key = hash_key;
    context.counters = &counters;
    context.quota =
        (struct quota){.first = &quota_table, .count = 1, .stride = sizeof quota_table, .own = &quota_table};
    atexit(clean_up);
}
