/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker's signing client, if the key process sends whatever it likes: each asker gets at most one answer, and only
 * to its own question, and no questions are sent for askers that have left. The input is a list of commands, each a
 * letter and its arguments:
 *
 *   aP       asks, for prefix P; slowly if P is small
 *   fN       forgets the question of asker N
 *   s        sends the batch
 *   rNR      the key process answers question N (a digit) with result R
 *   wNIB     the same, with byte I of the answer changed by B
 *   m...;    it sends a message of these bytes
 *   c        it closes the channel
 *   t        takes the answers that have arrived
 */
#include "fuzz.h"

#include <openssl/asn1.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/signing_client.h"

#define ASKERS_MAX 64

static struct asker {
    struct signing_client_request request;
    uint64_t request_id; /* set once its question has arrived at the other end */
    bool waits, forgotten, sent;
    uint8_t prefix;
} askers[ASKERS_MAX];
static size_t asker_count;

static void hear(void *owner, const uint8_t *signature, size_t size, void *context) {
    struct asker *asker = owner;
    HOLDS(context == askers && asker >= askers && asker < askers + asker_count);
    HOLDS(asker->waits && !asker->forgotten && asker->request.state == SIGNING_CLIENT_IDLE);
    HOLDS(size <= SIGNING_SIGNATURE_MAX && (size == 0 || signature != NULL));
    free(fuzz_copy(signature, size)); /* reads all of it, for the sanitizer */
    asker->waits = false;
}

static void ask(struct signing_client *signing_client, uint8_t prefix) {
    static const uint8_t key[SIGNING_KEY_ID] = "key", transcript[32] = "transcript";
    struct asker *asker = &askers[asker_count];
    if (asker_count == ASKERS_MAX)
        return;
    asker_count++;
    HOLDS(signing_ask(&asker->request.question, SIGNING_TLS_1_3,
                      prefix < '4' ? SIGNING_RSA_PSS_SHA256 : SIGNING_ECDSA_SHA256, key, transcript,
                      sizeof transcript));
    asker->request.owner = asker;
    asker->prefix = prefix;
    asker->waits = true;
    signing_client_ask(signing_client, &asker->request, &(struct signing_client_origin){prefix, prefix});
}

static void reply(int keys, size_t asker, uint8_t result, size_t place, uint8_t change) {
    struct signing_answer answer;
    uint8_t signature[SIGNING_SIGNATURE_MAX] = {1, 2, 3};
    uint8_t bytes[sizeof answer];
    signing_reply(&answer, asker < asker_count ? askers[asker].request_id : asker, result % 3, signature, 64 + result);
    HOLDS(signing_answer_is_valid(&answer, sizeof answer));
    memcpy(bytes, &answer, sizeof bytes);
    bytes[place % sizeof bytes] ^= change;
    send(keys, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Counts the questions in progress for a prefix, or all for -1, according to the signing client. */
static size_t under_way(const struct signing_client *signing_client, int prefix) {
    size_t count = 0;
    for (size_t i = 0; i < SIGNING_CLIENT_UNDER_WAY; i++)
        count += signing_client->slots[i].taken &&
                 (prefix < 0 || signing_client->lines[signing_client->slots[i].line].origin.client == (unsigned)prefix);
    return count;
}

/*
 * Every question at the other end must be well-formed, and one that is waited for. Only a few may be for the same
 * prefix.
 */
static void drain(const struct signing_client *signing_client, int keys) {
    struct signing_question question;
    ssize_t got;
    while ((got = recv(keys, &question, sizeof question, MSG_DONTWAIT)) > 0) {
        struct asker *found = NULL;
        HOLDS(signing_question_is_valid(&question, (size_t)got));
        for (size_t i = 0; i < asker_count; i++) {
            HOLDS(!askers[i].sent || askers[i].request_id != question.request_id);
            if (askers[i].waits && !askers[i].forgotten && !askers[i].sent &&
                memcmp(&askers[i].request.question, &question, sizeof question) == 0)
                found = &askers[i];
        }
        HOLDS(found && found->request.state == SIGNING_CLIENT_IS_UNDER_WAY);
        found->sent = true;
        found->request_id = question.request_id;
        HOLDS(under_way(signing_client, found->prefix) <=
              (found->prefix < '4' ? 1u : SIGNING_CLIENT_NETWORK_UNDER_WAY));
    }
}

/* Checks independently of signing.c that this is what a TLS server signs. */
static bool is_handshake(const struct signing_question *question, const uint8_t *message, size_t size) {
    static const char context[] = "TLS 1.3, server CertificateVerify";
    const uint8_t *parameters = message + 64;
    if (size == 64 + sizeof context + 32 || size == 64 + sizeof context + 48) {
        for (size_t i = 0; i < 64; i++)
            HOLDS(message[i] == ' ');
        return question->version == SIGNING_TLS_1_3 && memcmp(message + 64, context, sizeof context) == 0;
    }
    bool x25519 = size == 100 && memcmp(parameters, "\3\0\x1d\x20", 4) == 0;
    bool p256 = size == 133 && memcmp(parameters, "\3\0\x17\x41\4", 5) == 0;
    return question->version == SIGNING_TLS_1_2 && (x25519 || p256) && memcmp(message + 56, "DOWNGRD\1", 8) == 0;
}

/* Is the message exactly one ASN.1 value, like a certificate or a certificate request? */
static bool is_asn1(const uint8_t *message, size_t size) {
    long length;
    int tag, class;
    const unsigned char *at = message;
    int how = ASN1_get_object(&at, &length, &tag, &class, (long)size);
    return (how & 0x80) == 0 && tag == V_ASN1_SEQUENCE && class == V_ASN1_UNIVERSAL && (how & 1) == 0 &&
           at + length == message + size;
}

/* Tests the message as a question and as an answer: if it is valid, making it again must give the same. */
static void check_message(const uint8_t *bytes, size_t size) {
    struct signing_question question, again;
    struct signing_answer answer, reply_again;
    memset(&question, 0, sizeof question);
    memset(&answer, 0, sizeof answer);
    memcpy(&question, bytes, size < sizeof question ? size : sizeof question);
    memcpy(&answer, bytes, size < sizeof answer ? size : sizeof answer);
    if (signing_question_is_valid(&question, size)) {
        uint8_t message[SIGNING_MESSAGE_MAX];
        HOLDS(size == sizeof question && question.content_size <= SIGNING_CONTENT_MAX);
        HOLDS(!signing_question_is_foreign(&question, size));
        HOLDS(signing_ask(&again, question.version, question.scheme, question.key_id, question.content,
                          question.content_size));
        again.request_id = question.request_id;
        HOLDS(memcmp(&question, &again, sizeof again) == 0);
        size_t length = signing_message(&question, message);
        HOLDS(is_handshake(&question, message, length) && !is_asn1(message, length));
    }
    if (signing_answer_is_valid(&answer, size)) {
        HOLDS(size == sizeof answer && answer.signature_size <= SIGNING_SIGNATURE_MAX);
        signing_reply(&reply_again, answer.request_id, answer.result, answer.signature, answer.signature_size);
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

/* Applies one command. Returns false at the end. */
static bool apply(struct signing_client *signing_client, int keys, const uint8_t **at, const uint8_t *end) {
    uint8_t order, number = 0, result = 0, place = 0, change = 0;
    if (!take(at, end, &order))
        return false;
    switch (order) {
    case 'a':
        take(at, end, &number);
        ask(signing_client, number);
        break;
    case 's':
        signing_client_send(signing_client);
        drain(signing_client, keys);
        break;
    case 'f':
        take(at, end, &number);
        number = (number - '0') % ASKERS_MAX;
        if (number < asker_count) {
            signing_client_forget(signing_client, &askers[number].request);
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
        if (!signing_client_receive(signing_client, hear, askers))
            return false;
        break;
    default:
        break;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct signing_client signing_client;
    int ends[2];
    const uint8_t *at = bytes;
    check_message(bytes, size);
    HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    memset(askers, 0, sizeof askers);
    asker_count = 0;
    signing_client_open(&signing_client, ends[0]);
    while (apply(&signing_client, ends[1], &at, bytes + size))
        ;
    /*
     * Whatever happened, each asker that has not left waits or was answered, and slots are neither lost nor used twice.
     */
    size_t waiting = 0, free_lines = 0, used_lines = 0;
    for (size_t i = 0; i < asker_count; i++) {
        HOLDS(askers[i].forgotten || (askers[i].request.state != SIGNING_CLIENT_IDLE) == askers[i].waits);
        waiting += askers[i].request.state == SIGNING_CLIENT_WAITS;
    }
    for (uint32_t i = signing_client.free_line; i < SIGNING_CLIENT_LINES; i = signing_client.lines[i].next_alike)
        HOLDS(++free_lines <= SIGNING_CLIENT_LINES);
    for (size_t i = 0; i < SIGNING_CLIENT_LINES; i++) {
        for (uint32_t at_line = signing_client.alike[i]; at_line < SIGNING_CLIENT_LINES;
             at_line = signing_client.lines[at_line].next_alike) {
            const struct signing_client_line *line = &signing_client.lines[at_line];
            HOLDS(++used_lines <= SIGNING_CLIENT_LINES && (line->first || line->under_way > 0 || line->has_turn));
            for (const struct signing_client_request *request = line->first; request; request = request->later)
                waiting--;
        }
    }
    HOLDS(waiting == 0 && free_lines + used_lines == SIGNING_CLIENT_LINES &&
          under_way(&signing_client, -1) <= SIGNING_CLIENT_UNDER_WAY);
    close(ends[0]);
    close(ends[1]);
    return 0;
}
