/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker's desk, when the key process sends whatever it likes: each asker hears at most once, and only of its own
 * question. The input is a list of orders, each a letter with the bytes that it takes:
 *
 *   a        ask                       fN       forget the question of asker N
 *   s        send the batch            rNR      the key process answers question N (a digit) with result R
 *   wNIB     the same, byte I of the answer changed by B
 *   m...;    it sends a message of these bytes            c   it closes the channel
 *   t        take what has come
 */
#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#include "../desk.h"

#define ASKERS_MAX 64

static struct asker {
    uint64_t ticket;
    bool waits, forgotten;
} askers[ASKERS_MAX];
static size_t asker_count;

static void hear(void *owner, const uint8_t *signature, size_t size, void *context) {
    struct asker *asker = owner;
    HOLDS(context == askers && asker >= askers && asker < askers + asker_count);
    HOLDS(asker->waits && !asker->forgotten);
    HOLDS(size <= SIGNING_SIGNATURE_MAX && (size == 0 || signature != NULL));
    free(fuzz_copy(signature, size)); /* all of it can be read */
    asker->waits = false;
}

static void ask(struct desk *desk) {
    static const uint8_t key[SIGNING_KEY_NAME] = "key", digest[32] = "digest";
    struct asker *asker = &askers[asker_count];
    if (asker_count == ASKERS_MAX)
        return;
    asker_count++;
    asker->ticket = desk_ask(desk, asker, SIGNING_ECDSA, key, digest, sizeof digest);
    asker->waits = true;
    HOLDS(asker->ticket != 0);
    for (size_t i = 0; i + 1 < asker_count; i++)
        HOLDS(askers[i].ticket != asker->ticket);
}

static void reply(int keys, size_t asker, uint8_t result, size_t place, uint8_t change) {
    struct signing_answer answer;
    uint8_t signature[SIGNING_SIGNATURE_MAX] = {1, 2, 3};
    uint8_t bytes[sizeof answer];
    signing_reply(&answer, asker < asker_count ? askers[asker].ticket : asker, result % 3, signature, 64 + result);
    HOLDS(signing_answer_is_valid(&answer, sizeof answer));
    memcpy(bytes, &answer, sizeof bytes);
    bytes[place % sizeof bytes] ^= change;
    send(keys, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The questions that came out at the other end are well-formed, and those that were asked. */
static void drain(int keys) {
    struct signing_question question;
    ssize_t got;
    while ((got = recv(keys, &question, sizeof question, MSG_DONTWAIT)) > 0) {
        bool asked = false;
        HOLDS(signing_question_is_valid(&question, (size_t)got));
        for (size_t i = 0; i < asker_count; i++)
            asked |= askers[i].ticket == question.ticket;
        HOLDS(asked);
    }
}

/* A message as it is, for both ends: what is valid says the same when it is made again. */
static void check_message(const uint8_t *bytes, size_t size) {
    struct signing_question question, again;
    struct signing_answer answer, reply_again;
    memset(&question, 0, sizeof question);
    memset(&answer, 0, sizeof answer);
    memcpy(&question, bytes, size < sizeof question ? size : sizeof question);
    memcpy(&answer, bytes, size < sizeof answer ? size : sizeof answer);
    if (signing_question_is_valid(&question, size)) {
        HOLDS(size == sizeof question && question.content_size <= SIGNING_CONTENT_MAX);
        HOLDS(signing_ask(&again, question.scheme, question.ticket, question.key, question.content,
                          question.content_size));
        HOLDS(memcmp(&question, &again, sizeof again) == 0);
    }
    if (signing_answer_is_valid(&answer, size)) {
        HOLDS(size == sizeof answer && answer.signature_size <= SIGNING_SIGNATURE_MAX);
        signing_reply(&reply_again, answer.ticket, answer.result, answer.signature, answer.signature_size);
        HOLDS(reply_again.result == answer.result && reply_again.signature_size == answer.signature_size);
        HOLDS(memcmp(reply_again.signature, answer.signature, answer.signature_size) == 0);
    }
}

static bool take(const uint8_t **at, const uint8_t *end, uint8_t *byte) {
    if (*at == end)
        return false;
    *byte = *(*at)++;
    return true;
}

/* Returns false at the end. */
static bool obey(struct desk *desk, int keys, const uint8_t **at, const uint8_t *end) {
    uint8_t order, number = 0, result = 0, place = 0, change = 0;
    if (!take(at, end, &order))
        return false;
    switch (order) {
    case 'a':
        ask(desk);
        break;
    case 's':
        desk_send(desk);
        drain(keys);
        break;
    case 'f':
        take(at, end, &number);
        number = (number - '0') % ASKERS_MAX;
        if (number < asker_count) {
            desk_forget(desk, askers[number].ticket);
            askers[number].forgotten = true;
        }
        break;
    case 'w':
    case 'r':
        take(at, end, &number);
        if (order == 'r')
            take(at, end, &result);
        else if (take(at, end, &place))
            take(at, end, &change);
        reply(keys, (uint8_t)(number - '0') % ASKERS_MAX, result - '0', place, change);
        break;
    case 'm': {
        const uint8_t *stop = memchr(*at, ';', (size_t)(end - *at)), *start = *at;
        *at = stop ? stop + 1 : end;
        send(keys, start, (size_t)((stop ? stop : end) - start), MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    }
    case 'c':
        shutdown(keys, SHUT_WR);
        break;
    case 't':
        if (!desk_receive(desk, hear, askers))
            return false;
        break;
    default:
        break;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct desk desk;
    int ends[2];
    const uint8_t *at = bytes;
    check_message(bytes, size);
    HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    memset(askers, 0, sizeof askers);
    asker_count = 0;
    desk_open(&desk, ends[0]);
    while (obey(&desk, ends[1], &at, bytes + size))
        ;
    /* However it went, all who still wait can be answered, and places are neither lost nor given out twice. */
    size_t taken = 0, free_places = 0;
    for (size_t i = 0; i < DESK_WAITING_MAX; i++)
        taken += desk.waiting[i].taken;
    for (uint32_t i = desk.free; i < DESK_WAITING_MAX; i = desk.waiting[i].next)
        HOLDS(++free_places <= DESK_WAITING_MAX && !desk.waiting[i].taken);
    HOLDS(taken + free_places == DESK_WAITING_MAX && desk.unsent_count <= asker_count);
    close(ends[0]);
    close(ends[1]);
    return 0;
}
