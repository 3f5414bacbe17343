/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Attacks on the key process over the worker's channel to it. A worker may get signatures of handshakes with its own
 * keys. It must not get signatures of anything else, signatures with another host's key, answers to invalid requests,
 * more than its share, or a key.
 */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "inside.h"
#include "protocol/control.h"
#include "protocol/signing.h"

#define QUESTION_MAGIC 0x32716773u
#define ANSWER_MAGIC 0x32616773u
#define CONTROL_MAGIC 0x31716374u
#define REQUEST_ID 0x6272656163680000u

#define NEEDS_CHANNEL                                                                                                  \
    if (surroundings->keys_descriptor < 0)                                                                             \
        return absent("there is no channel to a key process");                                                         \
    int channel = (int)surroundings->keys_descriptor

static bool read_hexadecimal(const char *text, uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < 2 * size; i++) {
        int digit = text[i] >= '0' && text[i] <= '9'   ? text[i] - '0'
                    : text[i] >= 'a' && text[i] <= 'f' ? text[i] - 'a' + 10
                                                       : -1;
        if (digit < 0)
            return false;
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | digit);
    }
    return true;
}

/* A valid question, except for its key if own_key_name is not given. */
static struct signing_question right_question(const struct surroundings *surroundings) {
    struct signing_question question = {.magic = QUESTION_MAGIC,
                                        .version = SIGNING_TLS_1_3,
                                        .scheme = SIGNING_ECDSA_SHA256,
                                        .request_id = REQUEST_ID,
                                        .content_size = 32,
                                        .content = {1}};
    if (surroundings->own_key_name)
        read_hexadecimal(surroundings->own_key_name, question.key_id, sizeof question.key_id);
    return question;
}

/* The same for TLS 1.2, with 133 bytes of content for a P-256 point, or 100 for an X25519 key. */
static struct signing_question exchange_question(const struct surroundings *surroundings, bool has_point) {
    static const uint8_t x25519[] = {3, 0, 29, 32}, p256[] = {3, 0, 23, 65, 4};
    struct signing_question question = right_question(surroundings);
    question.version = SIGNING_TLS_1_2;
    question.content_size = has_point ? 133 : 100;
    memset(question.content, 0xc1, question.content_size);
    memcpy(question.content + 56, "DOWNGRD\1", 8);
    memcpy(question.content + 64, has_point ? p256 : x25519, has_point ? sizeof p256 : sizeof x25519);
    return question;
}

/* Waits up to a second for an answer to REQUEST_ID, or for a message of any other size than an answer has. */
static int wait_for_answer(const struct surroundings *surroundings, int channel) {
    union {
        struct signing_answer answer;
        char bytes[8192];
    } message;
    uint64_t until = clock_milliseconds() + 1000;
    while (clock_milliseconds() < until) {
        ssize_t got = recv(channel, &message, sizeof message, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            continue;
        if (got < 0)
            return refused(surroundings, "recvfrom");
        if (got == 0)
            return contained("the key process closed the channel");
        if (got != sizeof message.answer || message.answer.magic != ANSWER_MAGIC)
            return succeeded("had an answer that is none");
        if (message.answer.request_id >> 16 != REQUEST_ID >> 16 && message.answer.request_id != 0)
            continue; /* an answer to one of the worker's own questions */
        return message.answer.result == SIGNING_DONE ? succeeded("had a signature")
                                                     : contained("the key process refused");
    }
    return contained("the key process did not answer");
}

static int ask(const struct surroundings *surroundings, int channel, const void *message, size_t size) {
    if (send(channel, message, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return refused(surroundings, "sendto");
    return wait_for_answer(surroundings, channel);
}

int keys_magic(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    question.magic ^= 1;
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_short(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    return ask(surroundings, channel, &question, offsetof(struct signing_question, content) + 8);
}

int keys_long(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct {
        struct signing_question question;
        char more[3000];
    } message = {right_question(surroundings), {0}};
    return ask(surroundings, channel, &message, sizeof message);
}

int keys_empty(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    return ask(surroundings, channel, "", 0);
}

int keys_reserved(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    question.reserved[0] = 1;
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_padding(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    question.content[SIGNING_CONTENT_MAX - 1] = 1;
    return ask(surroundings, channel, &question, sizeof question);
}

/* Claims more content than the message has, so that the key process might sign, or reveal, the bytes after it. */
int keys_overread(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    question.content_size = 65536;
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_negative(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    question.content_size = UINT32_MAX;
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_scheme(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    question.scheme = 0;
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_other_scheme(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    question.scheme = SIGNING_ED25519;
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_unknown(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    memset(question.key_id, 0x5a, sizeof question.key_id);
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_ask_for_key(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    question.scheme = 0xffff;
    question.content_size = SIGNING_CONTENT_MAX;
    strcpy((char *)question.content, "the private key, please");
    return ask(surroundings, channel, &question, sizeof question);
}

/* ---- signatures of something other than a handshake, which would outlive the intrusion ---- */

/* Uses the format of an earlier version, which asked for signatures of arbitrary digests. */
int keys_digest(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct {
        uint32_t magic, scheme;
        uint64_t request_id;
        uint8_t key_id[SIGNING_KEY_ID];
        uint32_t content_size, reserved;
        uint8_t content[256];
    } question = {0x3f676973u, 1, REQUEST_ID, {0}, 32, 0, {1}};
    memcpy(question.key_id, right_question(surroundings).key_id, sizeof question.key_id);
    return ask(surroundings, channel, &question, sizeof question);
}

/* Asks for a signature of arbitrary bytes as if they were a TLS 1.2 handshake. */
static int ask_for(const struct surroundings *surroundings, bool has_point, const char *text) {
    NEEDS_CHANNEL;
    struct signing_question question = exchange_question(surroundings, has_point);
    for (size_t i = 0; i < question.content_size; i++)
        question.content[i] = (uint8_t)text[i % strlen(text)];
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_revocation(const struct surroundings *surroundings) {
    return ask_for(surroundings, false,
                   "eyJhbGciOiJFUzI1NiIsInVybCI6Imh0dHBzOi8vY2EvcmV2b2tlLWNlcnQifQ.eyJjZXJ0aWZpY2F0ZSI6Ik1JSSJ9");
}

int keys_statement(const struct surroundings *surroundings) {
    return ask_for(surroundings, true, "I, the owner of this capsule, hereby move to evil.example. ");
}

/*
 * Asks for a signature of an X.509 or PKCS#10 body, which is one ASN.1 SEQUENCE. It contains what a TLS signature must
 * contain, inside a name; or it only begins like such a body.
 */
static int ask_for_body(const struct surroundings *surroundings, const void *start, size_t size, bool has_point) {
    NEEDS_CHANNEL;
    struct signing_question question = exchange_question(surroundings, has_point);
    memcpy(question.content, start, size);
    return ask(surroundings, channel, &question, sizeof question);
}

int keys_certificate(const struct surroundings *surroundings) {
    static const uint8_t start[] = {0x30, 98, 2,    1,  1,    0x30, 10,   6,  8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4,
                                    3,    2,  0x30, 69, 0x31, 67,   0x30, 65, 6, 3,    0x55, 4,    3,    0x0c, 58};
    return ask_for_body(surroundings, start, sizeof start, false);
}

int keys_request(const struct surroundings *surroundings) {
    static const uint8_t start[] = {0x30, 98, 2, 1, 0, 0x30, 0, 0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0};
    return ask_for_body(surroundings, start, sizeof start, false);
}

/* Puts 64 chosen bytes where the TLS parameters contain a point. */
int keys_point(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = exchange_question(surroundings, true);
    return ask(surroundings, channel, &question, sizeof question);
}

/* Uses an identity in the key process that belongs to a host that is not served here. */
int keys_other_identity(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    if (!surroundings->other_key_name ||
        !read_hexadecimal(surroundings->other_key_name, question.key_id, sizeof question.key_id))
        return absent("other_key_name is not told");
    return ask(surroundings, channel, &question, sizeof question);
}

/* ---- requests that only the supervisor may make ---- */

/* Requests an identity for a host name, which only the supervisor may do, over another socket
 * (server/protocol/control.h). */
int keys_order(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct control_request request = {.magic = CONTROL_MAGIC, .command = CONTROL_PROVIDE, .host = "breach.invalid"};
    return ask(surroundings, channel, &request, sizeof request);
}

/* Requests a second channel, which would have its own share of signatures. */
int keys_channel(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct control_request request = {.magic = CONTROL_MAGIC, .command = CONTROL_ATTACH};
    int descriptor = 2;
    struct iovec part = {&request, sizeof request};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } room = {{0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    room.header =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&room.header), &descriptor, sizeof descriptor);
    if (sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return refused(surroundings, "sendmsg");
    return wait_for_answer(surroundings, channel);
}

/* Asks more questions per second than the key process allows a worker, for an unknown key, which costs least. */
int keys_flood(const struct surroundings *surroundings) {
    NEEDS_CHANNEL;
    struct signing_question question = right_question(surroundings);
    struct signing_answer answer;
    long answered = 0;
    if (surroundings->signing_limit < 0)
        return absent("signing_limit is not told");
    memset(question.key_id, 0x5a, sizeof question.key_id);
    uint64_t until = clock_milliseconds() + 1000;
    while (clock_milliseconds() < until) {
        if (send(channel, &question, sizeof question, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
            return refused(surroundings, "sendto");
        while (recv(channel, &answer, sizeof answer, MSG_DONTWAIT) == sizeof answer)
            answered++;
    }
    int outcome = answered > surroundings->signing_limit ? ATTEMPT_SUCCEEDED : ATTEMPT_CONTAINED;
    reason_begin();
    reason_add("answers in a second: ");
    reason_add_number(answered);
    return outcome;
}

/* ---- keys in the worker's own memory ---- */

/* Is this page readable? The kernel would have to load it. */
static bool is_readable(uintptr_t page) {
    return syscall(SYS_madvise, page, (size_t)getpagesize(), 22 /* MADV_POPULATE_READ, since Linux 5.14 */) == 0;
}

/* Searches so many bytes on both sides of an address. The mark is not the key itself, so that the search does not find
 * itself. */
static bool search_around(const void *middle, uintptr_t reach, const uint8_t mark[static 16]) {
    size_t size = (size_t)getpagesize();
    uintptr_t begin = ((uintptr_t)middle & ~(uintptr_t)(size - 1)) - reach;
    for (uintptr_t page = begin; page < begin + 2 * reach; page += size) {
        if (!is_readable(page))
            continue;
        const uint8_t *bytes;
        memcpy(&bytes, &page, sizeof bytes);
        for (size_t at = 0; at + 16 <= size; at++) {
            size_t same = 0;
            while (same < 16 && (bytes[at + same] ^ 0xff) == mark[same])
                same++;
            if (same == 16)
                return true;
        }
    }
    return false;
}

int keys_own_memory(const struct surroundings *surroundings) {
    static char in_data;
    uint8_t mark[16], in_stack = 0;
    if (!surroundings->key_mark || !read_hexadecimal(surroundings->key_mark, mark, sizeof mark))
        return absent("key_mark is not told");
    if (!is_readable((uintptr_t)&in_stack & ~(uintptr_t)(getpagesize() - 1)))
        return refused(surroundings, "madvise");
    void *mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *heap = (void *)syscall(SYS_brk, 0);
    bool found = search_around(&in_data, 16u << 20, mark) || search_around(&in_stack, 1u << 20, mark) ||
                 search_around(heap, 16u << 20, mark) ||
                 (mapped != MAP_FAILED && search_around(mapped, 64u << 20, mark));
    return found ? succeeded("found the private key") : contained("the private key is not there");
}
