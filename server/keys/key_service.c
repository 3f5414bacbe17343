/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "key_service.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/systemd.h"
#include "common/text.h"
#include "identity_store.h"
#include "key_listener.h"
#include "protocol/control.h"
#include "protocol/signing.h"

/* Channels take turns: at most this many questions of one, for at most this time, then the next. */
#define QUESTIONS_AT_ONCE 16
#define TURN 1000       /* microseconds; an RSA signature takes longer, so it is a whole turn */
#define DAY 86400000ull /* milliseconds */
#define TICK 3000       /* milliseconds between two watchdog messages */

/* Names of the descriptors that the service manager keeps for this process over a restart. */
#define KEY_SERVICE_CONTROL_NAME "control"
#define KEY_SERVICE_CHANNEL_NAME "channel"

/* A worker may ask for this many signatures at once, and for this many per second; after that it must wait. */
#define BURST 4000
#define RATE 8000

/* ---- the key process ---- */

struct channel {
    int descriptor;
    uint64_t generation; /* of the worker at its other end */
    unsigned allowance;  /* signatures that it may still request now */
    uint64_t counted;    /* when the allowance was last increased, in milliseconds */
    bool full;           /* an answer did not fit; nothing is read until it does */
};

struct keys {
    struct identity_store store;
    int controls[KEY_SERVICE_CONTROLS_MAX];
    size_t control_count;
    struct channel channels[KEY_SERVICE_CHANNELS_MAX];
    size_t channel_count;
    int listener;
    bool patient;      /* stops after its servers */
    uint64_t next_day; /* when certificates are checked again, in milliseconds */
};

static volatile sig_atomic_t told_to_stop, told_to_reload;

static void stop(int signal) {
    (void)signal;
    told_to_stop++;
}

static void reload(int signal) {
    (void)signal;
    told_to_reload = 1;
}

/* ---- control ---- */

/* Returns false if there is no room for it; then it is closed. */
static bool add_channel(struct keys *keys, int descriptor, uint64_t generation) {
    if (keys->channel_count == KEY_SERVICE_CHANNELS_MAX) {
        log_line(LOG_LEVEL_ERROR, "keys: refused a channel: there are %d already", KEY_SERVICE_CHANNELS_MAX);
        close(descriptor);
        return false;
    }
    /* Whatever it is, we never wait for it: each call on a channel is non-blocking. What is no channel fails the first.
     */
    keys->channels[keys->channel_count++] =
        (struct channel){.descriptor = descriptor,
                         .generation = identity_store_generation(&keys->store, generation),
                         .allowance = BURST,
                         .counted = clock_milliseconds()};
    return true;
}

/*
 * Provides what a request asks for. The response names the host of the request; an identity may be for several. Returns
 * how many bytes of the response are to be sent.
 */
static size_t provide(struct identity_store *store, const struct control_request *request,
                      struct control_response *response) {
    bool unusable = false;
    const struct identity *identity = NULL;
    if (request->command != CONTROL_PROVIDE_SAMPLE || identity_store_holds_only(store, request->host))
        identity = identity_store_provide(store, request->host, &unusable);
    if (!identity)
        return control_reply(response, request->request_id, unusable ? CONTROL_UNUSABLE : CONTROL_NONE, NULL, NULL);
    identity_store_serve(store, identity->public.key_id, request->generation);
    return control_reply(response, request->request_id, CONTROL_PROVIDED, request->host, &identity->public);
}

/* Logs why a request is refused. The sender gets a response, too. */
static size_t refuse(const struct control_request *request, size_t size, struct control_response *response) {
    if (control_request_is_foreign(request, size))
        log_line(LOG_LEVEL_WARNING, "keys: refused a control message of another version; run: systemctl restart "
                                    "vitrine-keys vitrine");
    else
        log_line(LOG_LEVEL_WARNING, "keys: refused a malformed control message");
    return control_reply(response, request->request_id, CONTROL_REFUSED, NULL, NULL);
}

/* Carries out one request. Returns how many bytes of the response to send; 0: none. */
static size_t apply(struct keys *keys, const struct control_request *request, size_t size, int descriptor,
                    struct control_response *response) {
    bool attaches = request->command == CONTROL_ATTACH && descriptor >= 0;
    if (!control_request_is_valid(request, size) || (request->command == CONTROL_ATTACH && descriptor < 0)) {
        if (descriptor >= 0)
            close(descriptor);
        return refuse(request, size, response);
    }
    if (attaches) {
        if (add_channel(keys, descriptor, request->generation))
            systemd_keep(descriptor, KEY_SERVICE_CHANNEL_NAME);
        return 0;
    }
    if (descriptor >= 0)
        close(descriptor);
    if (request->command == CONTROL_REFRESH)
        identity_store_refresh(&keys->store);
    else if (request->command == CONTROL_PREPARE)
        identity_store_prepare(&keys->store, request->host);
    else
        return provide(&keys->store, request, response);
    return 0;
}

/*
 * Receives the waiting requests, for at most one turn, and responds. Returns false when the supervisor is gone, or does
 * not read the responses: a correct one reads them while it sends requests, and nobody else may be delayed by one that
 * does not.
 */
static bool answer_control(struct keys *keys, int control) {
    static struct control_response response;
    struct control_request request;
    int descriptor;
    uint64_t turn_ends = clock_microseconds() + TURN;
    do {
        ssize_t got = control_receive(control, &request, &descriptor);
        if (got <= 0)
            return got == -EINTR || got == -EAGAIN;
        size_t size = apply(keys, &request, (size_t)got, descriptor, &response);
        if (size == 0 || send(control, &response, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            continue;
        if (errno == EAGAIN)
            log_line(LOG_LEVEL_WARNING, "keys: closed the connection of a server that does not take its answers");
        else if (errno != EPIPE && errno != ECONNRESET) /* it has not just ended */
            log_line(LOG_LEVEL_ERROR, "keys: cannot answer the supervisor: %s", strerror(errno));
        return false;
    } while (clock_microseconds() < turn_ends);
    return true;
}

/* ---- channels ---- */

static void sign(const struct keys *keys, const struct channel *channel, const struct signing_question *question,
                 struct signing_answer *answer) {
    uint8_t message[SIGNING_MESSAGE_MAX], signature[SIGNING_SIGNATURE_MAX];
    size_t size = 0;
    const struct identity *identity = identity_store_find_key(&keys->store, question->key_id, channel->generation);
    enum signing_result result = SIGNING_REFUSED;
    if (identity)
        result =
            identity_sign(identity, question->scheme, message, signing_message(question, message), signature, &size);
    signing_reply(answer, question->request_id, result, signature, size);
}

static void complain(const struct signing_question *question, size_t size) {
    if (signing_question_is_foreign(question, size))
        log_line(LOG_LEVEL_WARNING, "keys: closed the channel of a worker of another version; restart vitrine.service");
    else
        log_line(LOG_LEVEL_WARNING,
                 "keys: closed the channel of a worker that asked to sign something other than a TLS handshake");
}

static unsigned allowance(struct channel *channel) {
    uint64_t now = clock_milliseconds();
    uint64_t more = (now - channel->counted) * RATE / 1000;
    if (more > 0) {
        channel->allowance = channel->allowance + more > BURST ? BURST : channel->allowance + (unsigned)more;
        channel->counted = now;
    }
    return channel->allowance;
}

/*
 * Answers the questions that wait in a channel, several per wake-up. A question leaves the channel only after its
 * answer was sent: if this process ends before that, the next one finds the question. Returns false if the worker is
 * gone or sends what no honest worker would.
 */
static bool answer(const struct keys *keys, struct channel *channel) {
    static struct signing_question question;
    static struct signing_answer answer;
    uint64_t turn_ends = clock_microseconds() + TURN;
    channel->full = false;
    for (int i = 0; i < QUESTIONS_AT_ONCE && channel->allowance > 0; i++) {
        if (i > 0 && clock_microseconds() >= turn_ends)
            return true;
        /* MSG_TRUNC returns the whole length of a message that is too long; otherwise it would look like a question. */
        ssize_t got = recv(channel->descriptor, &question, sizeof question, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0) /* the other end is closed */
            return false;
        if (!signing_question_is_valid(&question, (size_t)got)) {
            complain(&question, (size_t)got);
            return false;
        }
        sign(keys, channel, &question, &answer);
        channel->allowance--;
        if (send(channel->descriptor, &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            channel->full = errno == EAGAIN;
            return channel->full || errno == EINTR;
        }
        recv(channel->descriptor, &question, sizeof question, MSG_DONTWAIT);
    }
    return true;
}

/* ---- the loop ---- */

struct watch {
    struct pollfd list[1 + KEY_SERVICE_CONTROLS_MAX + KEY_SERVICE_CHANNELS_MAX];
    size_t count;
};

/* Watches everything except channels that have used up their allowance. Returns how long to wait, in milliseconds. */
static int prepare(struct keys *keys, struct watch *watch) {
    int wait = -1;
    watch->count = 0;
    watch->list[watch->count++] = (struct pollfd){keys->listener, POLLIN, 0};
    for (size_t i = 0; i < keys->control_count; i++)
        watch->list[watch->count++] = (struct pollfd){keys->controls[i], POLLIN, 0};
    for (size_t i = 0; i < keys->channel_count; i++) {
        struct channel *channel = &keys->channels[i];
        bool may = allowance(channel) > 0;
        watch->list[watch->count++] =
            (struct pollfd){may ? channel->descriptor : -1, channel->full ? POLLOUT : POLLIN, 0};
        if (!may)
            wait = 10;
    }
    return wait;
}

static void welcome(struct keys *keys) {
    int control = accept4(keys->listener, NULL, NULL, SOCK_CLOEXEC);
    if (control < 0)
        return;
    if (keys->control_count == KEY_SERVICE_CONTROLS_MAX) {
        log_line(LOG_LEVEL_ERROR, "keys: refused a supervisor: there are %d already", KEY_SERVICE_CONTROLS_MAX);
        close(control);
        return;
    }
    keys->controls[keys->control_count++] = control;
    systemd_keep(control, KEY_SERVICE_CONTROL_NAME);
}

static void serve_ready(struct keys *keys, const struct watch *watch) {
    size_t controls = keys->control_count, channels = keys->channel_count, kept = 0;
    const struct pollfd *ready = watch->list + 1;
    for (size_t i = 0; i < controls; i++, ready++) {
        if (ready->revents == 0 || answer_control(keys, keys->controls[i]))
            keys->controls[kept++] = keys->controls[i];
        else
            close(keys->controls[i]);
    }
    keys->control_count = kept;
    kept = 0;
    for (size_t i = 0; i < keys->channel_count; i++) {
        struct channel channel = keys->channels[i];
        bool asked = i < channels && ready[i].revents != 0;
        bool stays = !asked || answer(keys, &channel);
        if (stays)
            keys->channels[kept++] = channel;
        else
            close(channel.descriptor);
    }
    keys->channel_count = kept;
    if (watch->list[0].revents != 0)
        welcome(keys);
}

static void tell(const struct keys *keys, const char *first) {
    char message[128];
    snprintf(message, sizeof message, "%sSTATUS=Holding %zu %s for %zu worker%s", first, keys->store.count,
             keys->store.count == 1 ? "identity" : "identities", keys->channel_count, text_plural(keys->channel_count));
    systemd_notify(message);
}

/* A reload as a service: the service manager may have replaced the credentials (RefreshOnReload=). */
static void refresh(struct keys *keys) {
    char message[64];
    told_to_reload = 0;
    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_microseconds());
    systemd_notify(message);
    identity_store_refresh(&keys->store);
    tell(keys, "READY=1\n");
}

static void warn_daily(struct keys *keys, uint64_t now) {
    if (now < keys->next_day)
        return;
    identity_store_warn(&keys->store);
    keys->next_day = now + DAY;
}

static bool goes_on(const struct keys *keys) {
    if (told_to_stop > 0)
        return keys->patient && told_to_stop == 1 && keys->control_count > 0;
    return keys->listener >= 0 || keys->control_count > 0;
}

static int run(struct keys *keys) {
    struct watch watch;
    unsigned watchdog = systemd_watchdog_milliseconds();
    int tick = watchdog > 0 && watchdog / 3 < TICK ? (int)(watchdog / 3) : TICK;
    uint64_t next = clock_milliseconds() + (unsigned)tick;
    keys->next_day = clock_milliseconds() + DAY;
    tell(keys, "READY=1\n");
    if (keys->patient) /* otherwise the service manager or the supervisor says so */
        log_line(LOG_LEVEL_NOTICE, "keys: ready; waiting for servers (vitrine serve --keys)");
    while (goes_on(keys)) {
        int wait = prepare(keys, &watch);
        sigset_t during_wait;
        sigemptyset(&during_wait); /* SIGTERM and SIGHUP are delivered only while nothing is half done */
        if (wait < 0)
            wait = tick;
        struct timespec timeout = {wait / 1000, wait % 1000 * 1000000L};
        int count = ppoll(watch.list, watch.count, &timeout, &during_wait);
        if (count < 0 && errno != EINTR) {
            log_line(LOG_LEVEL_ERROR, "keys: %s", strerror(errno));
            return EX_OSERR;
        }
        if (count > 0)
            serve_ready(keys, &watch);
        if (told_to_reload)
            refresh(keys);
        if (clock_milliseconds() >= next) {
            tell(keys, watchdog > 0 ? "WATCHDOG=1\n" : "");
            next = clock_milliseconds() + (unsigned)tick;
        }
        warn_daily(keys, clock_milliseconds());
    }
    systemd_notify("STOPPING=1");
    return EX_OK;
}

int key_service_serve(const struct key_service_options *options) {
    static struct keys keys;
    struct sigaction action = {.sa_handler = stop};
    int status;

    sigaction(SIGTERM, &action, NULL);
    mlockall(MCL_CURRENT | MCL_FUTURE); /* best effort: keep this process out of swap */
    keys.listener = options->listener;
    keys.patient = options->patient;
    status = identity_store_open(&keys.store, options->state, options->credentials);
    if (status != EX_OK)
        return status;
    for (size_t i = 0; i < options->control_count; i++)
        keys.controls[keys.control_count++] = options->controls[i];
    const struct certificates *served = options->certificates;
    for (size_t i = 0; served && i < served->count; i++)
        identity_store_serve(&keys.store, served->list[i].key_id, served->generation);
    for (size_t i = 0; i < options->channel_count; i++)
        add_channel(&keys, options->channels[i], served ? served->generation : 0);
    status = run(&keys);
    identity_store_dispose(&keys.store);
    return status;
}

/* Is this a listening socket for control connections? */
static bool is_listener(int descriptor) {
    int listening = 0, type = 0;
    socklen_t size = sizeof(int);
    return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening &&
           getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* Puts a descriptor from the service manager where it belongs, or closes it. */
static void adopt(struct key_service_options *options, const struct systemd_socket *socket) {
    if (strcmp(socket->name, KEY_SERVICE_CONTROL_NAME) == 0 && options->control_count < KEY_SERVICE_CONTROLS_MAX)
        options->controls[options->control_count++] = socket->descriptor;
    else if (strcmp(socket->name, KEY_SERVICE_CHANNEL_NAME) == 0 && options->channel_count < KEY_SERVICE_CHANNELS_MAX)
        options->channels[options->channel_count++] = socket->descriptor;
    else if (options->listener < 0 && is_listener(socket->descriptor))
        options->listener = socket->descriptor;
    else
        close(socket->descriptor);
}

int key_service_run(const char *state, const char *path) {
    static struct systemd_socket sockets[2 + KEY_SERVICE_CONTROLS_MAX + KEY_SERVICE_CHANNELS_MAX];
    struct key_service_options options = {
        .state = state, .credentials = getenv("CREDENTIALS_DIRECTORY"), .listener = -1};
    sigset_t blocked;
    size_t count = systemd_take_sockets(sockets, sizeof sockets / sizeof *sockets);
    systemd_open();
    prctl(PR_SET_NAME, "vitrine-keys");
    for (size_t i = 0; i < count; i++)
        adopt(&options, &sockets[i]);
    if (options.listener < 0 && path) {
        int status = key_listener_open(path, &options.listener);
        if (status != EX_OK)
            return status;
        options.patient = true; /* no service manager is here, which would stop the server first */
    }
    if (options.listener < 0) {
        log_line(
            LOG_LEVEL_ERROR,
            "keys: no listening socket from the service manager; start it through "
            "vitrine-keys.socket, name a path with --listen, or run vitrine serve, which has a key process of its own");
        return EX_USAGE;
    }
    /* Ctrl-C: a service manager decides when this process stops, since workers still finish handshakes. */
    signal(SIGINT, options.patient ? stop : SIG_IGN);
    signal(SIGHUP, reload);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM); /* unblocked only while nothing is half done */
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    int result = sandbox_enter(SANDBOX_KEYS, -1);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "keys: cannot enter the sandbox: %s", strerror(-result));
        return EX_OSERR;
    }
    return key_service_serve(&options);
}
