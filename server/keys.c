/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "identity.h"
#include "log.h"
#include "manager.h"
#include "signing.h"
#include "store.h"

#define QUESTIONS_AT_ONCE 16
#define ANSWER_WITHIN 20000 /* milliseconds */

/* A worker may ask for this many signatures at once, and for so many in a second; then it has to wait. */
#define BURST 4000
#define RATE 8000

/* ---- control messages ---- */

enum order { ORDER_PROVIDE = 1, ORDER_ATTACH = 2 };

struct control_order {
    uint32_t order;
    char host[CERTIFICATE_HOST_MAX + 1];
};

struct control_report {
    uint32_t order;
    uint32_t provided;              /* 1 or 0 */
    struct certificate certificate; /* its chain follows, and its pointer means nothing */
};

union control_buffer {
    struct control_report report;
    char bytes[sizeof(struct control_report) + CERTIFICATE_CHAIN_MAX];
};

/* ---- the key process ---- */

struct channel {
    int descriptor;
    unsigned allowance;            /* signatures that it may still ask for now */
    uint64_t counted;              /* when the allowance was last raised, in milliseconds */
    struct signing_answer *unsent; /* answers that found no room; nothing is read until they have */
    size_t unsent_count;
};

struct keys {
    struct identity *identities;
    size_t identity_count;
    int state;
    int controls[KEYS_CONTROLS_MAX];
    size_t control_count;
    struct channel channels[KEYS_CHANNELS_MAX];
    size_t channel_count;
    int listener;
};

static volatile sig_atomic_t told_to_stop;

static void stop(int signal) {
    (void)signal;
    told_to_stop = 1;
}

static uint64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- identities ---- */

static struct identity *identity_of_host(struct keys *keys, const char *host) {
    for (size_t i = 0; i < keys->identity_count; i++) {
        if (strcmp(keys->identities[i].public.host, host) == 0)
            return &keys->identities[i];
    }
    return NULL;
}

static const struct identity *identity_of_key(const struct keys *keys, const uint8_t *key) {
    for (size_t i = 0; i < keys->identity_count; i++) {
        if (memcmp(keys->identities[i].public.key, key, SIGNING_KEY_NAME) == 0)
            return &keys->identities[i];
    }
    return NULL;
}

static struct identity *add(struct keys *keys, const struct identity *identity) {
    struct identity *identities = reallocarray(keys->identities, keys->identity_count + 1, sizeof *identities);
    if (!identities)
        return NULL;
    keys->identities = identities;
    identities[keys->identity_count] = *identity;
    return &identities[keys->identity_count++];
}

/* Makes an identity and has it on disk before anybody can pin it. */
static bool make(const struct keys *keys, const char *host, const char *name) {
    char pem[IDENTITY_PEM_MAX];
    size_t size = identity_make(host, pem);
    bool stored = size > 0 && (store_create(keys->state, name, pem, size) || errno == EEXIST);
    if (size == 0)
        log_line(LOG_LEVEL_ERROR, "identity %s: no key could be made for this host", host);
    else if (!stored)
        log_line(LOG_LEVEL_ERROR, "identity %s: %s cannot be written to the state folder: %s", host, name,
                 strerror(errno));
    else
        log_line(LOG_LEVEL_NOTICE, "identity %s: made, visitors pin it at their first visit", host);
    explicit_bzero(pem, sizeof pem);
    return stored;
}

/* The identity out of the state folder, made when there is none. What is there and cannot be used is never replaced. */
static struct identity *kept_identity(struct keys *keys, const char *host) {
    char name[CERTIFICATE_HOST_MAX + sizeof ".pem"];
    char *pem = NULL;
    struct identity identity, *kept = NULL;
    const char *problem = NULL;
    snprintf(name, sizeof name, "%s.pem", host);
    ssize_t size = store_read(keys->state, name, &pem);
    if (size == -ENOENT) {
        if (!make(keys, host, name))
            return NULL;
        size = store_read(keys->state, name, &pem);
    }
    if (size < 0)
        problem = strerror((int)-size);
    else
        problem = identity_load(&identity, host, pem, NULL);
    if (problem)
        log_line(LOG_LEVEL_ERROR, "identity %s: %s in the state folder cannot be used: %s; put it back from a backup",
                 host, name, problem);
    else if (!(kept = add(keys, &identity)))
        identity_dispose(&identity);
    if (pem)
        explicit_bzero(pem, (size_t)(size > 0 ? size : 0));
    free(pem);
    return kept;
}

/* A host is part of a file's name here: no dots in front, no slashes, nothing that is no name. */
static bool is_host(const char *host, size_t size) {
    size_t length = strnlen(host, size);
    if (length == 0 || length > 250 || length == size || host[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || host[i] == '/')
            return false;
    }
    return true;
}

/*
 * Loads what the state folder holds before the first question is read: after a restart workers go on asking for
 * identities that they know already.
 */
static void load_all(struct keys *keys) {
    static const char ending[] = ".pem";
    int copy = dup(keys->state);
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    if (!folder) {
        if (copy >= 0)
            close(copy);
        return;
    }
    while ((entry = readdir(folder))) {
        char host[CERTIFICATE_HOST_MAX + 1];
        size_t length = strlen(entry->d_name);
        if (length <= sizeof ending - 1 || length - (sizeof ending - 1) >= sizeof host ||
            strcmp(entry->d_name + length - (sizeof ending - 1), ending) != 0)
            continue;
        memcpy(host, entry->d_name, length - (sizeof ending - 1));
        host[length - (sizeof ending - 1)] = '\0';
        if (is_host(host, sizeof host) && !identity_of_host(keys, host))
            kept_identity(keys, host);
    }
    closedir(folder);
}

/* ---- control ---- */

static void report(int control, const struct identity *identity) {
    static union control_buffer buffer;
    size_t size = sizeof buffer.report;
    memset(&buffer.report, 0, sizeof buffer.report);
    buffer.report.order = ORDER_PROVIDE;
    if (identity && identity->public.chain_size <= CERTIFICATE_CHAIN_MAX) {
        buffer.report.provided = 1;
        buffer.report.certificate = identity->public;
        buffer.report.certificate.chain = NULL;
        memcpy(buffer.bytes + size, identity->public.chain, identity->public.chain_size);
        size += identity->public.chain_size;
    }
    if (send(control, &buffer, size, MSG_NOSIGNAL) < 0)
        log_line(LOG_LEVEL_ERROR, "keys: the supervisor could not be answered: %s", strerror(errno));
}

static void add_channel(struct keys *keys, int descriptor) {
    if (keys->channel_count == KEYS_CHANNELS_MAX) {
        log_line(LOG_LEVEL_ERROR, "keys: more than %d workers ask for a channel", KEYS_CHANNELS_MAX);
        close(descriptor);
        return;
    }
    fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
    keys->channels[keys->channel_count++] =
        (struct channel){.descriptor = descriptor, .allowance = BURST, .counted = milliseconds()};
}

/* Takes the descriptor that came with a message. Returns -1 when there is none. */
static int take_descriptor(struct msghdr *message) {
    int descriptor = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS && part->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&descriptor, CMSG_DATA(part), sizeof descriptor);
    }
    return descriptor;
}

/* Obeys one order. Returns false when the supervisor is gone. */
static bool obey(struct keys *keys, int control) {
    struct control_order order = {0};
    struct iovec part = {&order, sizeof order};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room.bytes};
    ssize_t got = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN;
    if (got == 0)
        return false;
    int descriptor = take_descriptor(&message);
    if (got == sizeof order && order.order == ORDER_ATTACH && descriptor >= 0) {
        add_channel(keys, descriptor);
        return true;
    }
    if (descriptor >= 0)
        close(descriptor);
    if (got != sizeof order || order.order != ORDER_PROVIDE || !is_host(order.host, sizeof order.host)) {
        log_line(LOG_LEVEL_WARNING, "keys: an order makes no sense; refused");
        report(control, NULL);
        return true;
    }
    struct identity *identity = identity_of_host(keys, order.host);
    report(control, identity ? identity : kept_identity(keys, order.host));
    return true;
}

/* ---- channels ---- */

static void sign(const struct keys *keys, const struct signing_question *question, struct signing_answer *answer) {
    uint8_t signature[SIGNING_SIGNATURE_MAX];
    size_t size = 0;
    const struct identity *identity = identity_of_key(keys, question->key);
    enum signing_result result = SIGNING_REFUSED;
    if (identity)
        result = identity_sign(identity, question->scheme, question->content, question->content_size, signature, &size);
    signing_reply(answer, question->ticket, result, signature, size);
}

static unsigned allowance(struct channel *channel) {
    uint64_t now = milliseconds();
    uint64_t more = (now - channel->counted) * RATE / 1000;
    if (more > 0) {
        channel->allowance = channel->allowance + more > BURST ? BURST : channel->allowance + (unsigned)more;
        channel->counted = now;
    }
    return channel->allowance;
}

/* Sends answers as far as there is room. Returns how many went, or -1 when the worker is gone. */
static int send_answers(int descriptor, struct signing_answer *answers, size_t count) {
    struct iovec parts[QUESTIONS_AT_ONCE];
    struct mmsghdr messages[QUESTIONS_AT_ONCE];
    memset(messages, 0, sizeof messages);
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){&answers[i], sizeof answers[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int sent = sendmmsg(descriptor, messages, (unsigned)count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return sent;
}

/* Sends, and keeps what finds no room: a worker that is busy must not lose an answer. */
static bool send_or_keep(struct channel *channel, struct signing_answer *answers, size_t count) {
    int sent = send_answers(channel->descriptor, answers, count);
    if (sent < 0)
        return false;
    size_t left = count - (size_t)sent;
    if (left == 0)
        return true;
    channel->unsent = malloc(left * sizeof *channel->unsent);
    if (!channel->unsent)
        return false;
    memcpy(channel->unsent, answers + sent, left * sizeof *channel->unsent);
    channel->unsent_count = left;
    return true;
}

static bool send_kept(struct channel *channel) {
    struct signing_answer *unsent = channel->unsent;
    size_t count = channel->unsent_count;
    channel->unsent = NULL;
    channel->unsent_count = 0;
    bool stays = send_or_keep(channel, unsent, count);
    free(unsent);
    return stays;
}

/*
 * Answers what waits in a channel, several questions for one wake-up. Returns false when the worker is gone or sends
 * what no honest worker would.
 */
static bool answer(const struct keys *keys, struct channel *channel) {
    static struct signing_question questions[QUESTIONS_AT_ONCE];
    static struct signing_answer answers[QUESTIONS_AT_ONCE];
    struct iovec parts[QUESTIONS_AT_ONCE];
    struct mmsghdr messages[QUESTIONS_AT_ONCE];
    unsigned wanted = channel->allowance < QUESTIONS_AT_ONCE ? channel->allowance : QUESTIONS_AT_ONCE;
    if (channel->unsent)
        return send_kept(channel);
    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < wanted; i++) {
        parts[i] = (struct iovec){&questions[i], sizeof questions[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(channel->descriptor, messages, wanted, MSG_DONTWAIT, NULL);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    for (int i = 0; i < count; i++) {
        if (messages[i].msg_len == 0) /* the other end is closed */
            return false;
        if (!signing_question_is_valid(&questions[i], messages[i].msg_len)) {
            log_line(LOG_LEVEL_WARNING, "keys: a worker sent a malformed question; its channel is closed");
            return false;
        }
        sign(keys, &questions[i], &answers[i]);
    }
    channel->allowance -= (unsigned)count;
    return send_or_keep(channel, answers, (size_t)count);
}

/* ---- the loop ---- */

struct watch {
    struct pollfd list[1 + KEYS_CONTROLS_MAX + KEYS_CHANNELS_MAX];
    size_t count;
};

/* Watches everything but channels that have used up their allowance. Returns how long to wait, in milliseconds. */
static int prepare(struct keys *keys, struct watch *watch) {
    int wait = -1;
    watch->count = 0;
    watch->list[watch->count++] = (struct pollfd){keys->listener, POLLIN, 0};
    for (size_t i = 0; i < keys->control_count; i++)
        watch->list[watch->count++] = (struct pollfd){keys->controls[i], POLLIN, 0};
    for (size_t i = 0; i < keys->channel_count; i++) {
        struct channel *channel = &keys->channels[i];
        bool may = channel->unsent || allowance(channel) > 0;
        watch->list[watch->count++] =
            (struct pollfd){may ? channel->descriptor : -1, channel->unsent ? POLLOUT : POLLIN, 0};
        if (!may)
            wait = 10;
    }
    return wait;
}

static void welcome(struct keys *keys) {
    int control = accept4(keys->listener, NULL, NULL, SOCK_CLOEXEC);
    if (control >= 0 && keys->control_count < KEYS_CONTROLS_MAX)
        keys->controls[keys->control_count++] = control;
    else if (control >= 0)
        close(control);
}

static void serve_ready(struct keys *keys, const struct watch *watch) {
    size_t controls = keys->control_count, channels = keys->channel_count, kept = 0;
    const struct pollfd *ready = watch->list + 1;
    for (size_t i = 0; i < controls; i++, ready++) {
        if (ready->revents == 0 || obey(keys, keys->controls[i]))
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
        if (stays) {
            keys->channels[kept++] = channel;
        } else {
            close(channel.descriptor);
            free(channel.unsent);
        }
    }
    keys->channel_count = kept;
    if (watch->list[0].revents != 0)
        welcome(keys);
}

static int run(struct keys *keys) {
    struct watch watch;
    while (!told_to_stop && (keys->listener >= 0 || keys->control_count > 0)) {
        int wait = prepare(keys, &watch);
        sigset_t during_wait;
        sigemptyset(&during_wait); /* SIGTERM comes through while nothing is half done */
        struct timespec timeout = {0, wait * 1000000L};
        int count = ppoll(watch.list, watch.count, wait < 0 ? NULL : &timeout, &during_wait);
        if (count < 0 && errno != EINTR) {
            log_line(LOG_LEVEL_ERROR, "keys: %s", strerror(errno));
            return EX_OSERR;
        }
        if (count > 0)
            serve_ready(keys, &watch);
    }
    return EX_OK;
}

int keys_serve(const struct keys_options *options) {
    static struct keys keys;
    struct sigaction action = {.sa_handler = stop};
    int status;

    sigaction(SIGTERM, &action, NULL);
    mlockall(MCL_CURRENT | MCL_FUTURE); /* best effort: nothing of this process goes to swap */
    keys.listener = options->listener;
    keys.state = open(options->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (keys.state < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name one with --state", options->state, strerror(errno));
        return EX_NOINPUT;
    }
    load_all(&keys);
    for (size_t i = 0; i < options->control_count; i++)
        keys.controls[keys.control_count++] = options->controls[i];
    for (size_t i = 0; i < options->channel_count; i++)
        add_channel(&keys, options->channels[i]);
    status = run(&keys);
    for (size_t i = 0; i < keys.identity_count; i++)
        identity_dispose(&keys.identities[i]);
    free(keys.identities);
    return status;
}

/* ---- the supervisor's side ---- */

bool keys_provide(int control, const char *host, struct certificates *certificates) {
    static union control_buffer buffer;
    struct control_order order = {.order = ORDER_PROVIDE};
    struct pollfd ready = {control, POLLIN, 0};
    if (strlen(host) >= sizeof order.host) {
        log_line(LOG_LEVEL_ERROR, "identity: a host name of %zu bytes is too long", strlen(host));
        return false;
    }
    memcpy(order.host, host, strlen(host));
    ssize_t got = -1;
    if (send(control, &order, sizeof order, MSG_NOSIGNAL) == sizeof order && poll(&ready, 1, ANSWER_WITHIN) == 1)
        got = recv(control, &buffer, sizeof buffer, 0);
    if (got < (ssize_t)sizeof buffer.report || buffer.report.order != ORDER_PROVIDE) {
        log_line(LOG_LEVEL_ERROR, "identity %s: the key process does not answer", host);
        return false;
    }
    struct certificate *certificate = &buffer.report.certificate;
    size_t chain = (size_t)got - sizeof buffer.report;
    if (!buffer.report.provided || certificate->chain_size != chain ||
        strncmp(certificate->host, host, sizeof certificate->host) != 0)
        return false;
    certificate->chain = buffer.bytes + sizeof buffer.report;
    return certificates_add(certificates, certificate);
}

bool keys_attach(int control, int channel) {
    struct control_order order = {.order = ORDER_ATTACH};
    struct iovec part = {&order, sizeof order};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    memset(&room, 0, sizeof room);
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof channel);
    memcpy(CMSG_DATA(rights), &channel, sizeof channel);
    return sendmsg(control, &message, MSG_NOSIGNAL) == sizeof order;
}
