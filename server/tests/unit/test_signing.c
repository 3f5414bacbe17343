/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handshake.h"
#include "protocol/signing.h"
#include "worker/signing_client.h"

static const uint8_t key[SIGNING_KEY_ID] = {7};

/* ---- valid questions ---- */

static const enum signing_scheme schemes[] = {
    SIGNING_RSA_PKCS1_SHA256, SIGNING_RSA_PKCS1_SHA384, SIGNING_RSA_PKCS1_SHA512, SIGNING_ECDSA_SHA256,
    SIGNING_ECDSA_SHA384,     SIGNING_ECDSA_SHA512,     SIGNING_RSA_PSS_SHA256,   SIGNING_RSA_PSS_SHA384,
    SIGNING_RSA_PSS_SHA512,   SIGNING_ED25519};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static bool may_ask(enum signing_version version, enum signing_scheme scheme, const void *content, size_t size) {
    struct signing_question question;
    bool asked = signing_ask(&question, version, scheme, key, content, size);
    if (asked)
        cr_expect(signing_question_is_valid(&question, sizeof question));
    return asked;
}

Test(signing, sizes_of_a_transcript) {
    static const uint8_t content[SIGNING_CONTENT_MAX] = {1};
    for (size_t size = 0; size <= sizeof content; size++) {
        for (size_t i = 0; i < COUNT_OF(schemes); i++) {
            bool pkcs1 = schemes[i] == SIGNING_RSA_PKCS1_SHA256 || schemes[i] == SIGNING_RSA_PKCS1_SHA384 ||
                         schemes[i] == SIGNING_RSA_PKCS1_SHA512;
            cr_expect_eq(may_ask(SIGNING_TLS_1_3, schemes[i], content, size), !pkcs1 && (size == 32 || size == 48),
                         "%zu bytes, scheme %04x", size, schemes[i]);
        }
    }
}

Test(signing, schemes_that_there_are) {
    struct handshake handshake = handshake_of(GROUP_X25519);
    for (unsigned scheme = 0; scheme <= 0xffff; scheme++) {
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(schemes); i++)
            known |= schemes[i] == scheme;
        cr_expect_eq(may_ask(SIGNING_TLS_1_2, scheme, handshake.content, handshake.size), known, "scheme %04x", scheme);
    }
}

Test(signing, versions_that_there_are) {
    struct handshake handshake = handshake_of(GROUP_X25519);
    for (unsigned version = 0; version <= 0xffff; version++) {
        cr_expect_eq(may_ask(version, SIGNING_ECDSA_SHA256, handshake.content, handshake.size),
                     version == SIGNING_TLS_1_2, "version %04x", version);
        cr_expect_eq(may_ask(version, SIGNING_ECDSA_SHA256, handshake.content, 32), version == SIGNING_TLS_1_3,
                     "version %04x", version);
    }
}

/* A change to what a TLS 1.2 server signs. */
struct change {
    const char *what;
    unsigned group;
    size_t at;
    uint8_t by; /* the new value */
};

Test(signing, key_exchanges_of_another_form_are_refused) {
    static const struct change changes[] = {
        {"explicit curve", GROUP_X25519, 64, 1},
        {"explicit curve", GROUP_P256, 64, 2},
        {"P-384", GROUP_P256, 66, 24},
        {"another group", GROUP_X25519, 66, 23},
        {"another group", GROUP_P256, 66, 29},
        {"a group above 255", GROUP_X25519, 65, 1},
        {"a short key", GROUP_X25519, 67, 31},
        {"a long key", GROUP_X25519, 67, 33},
        {"a short point", GROUP_P256, 67, 64},
        {"a point that is compressed", GROUP_P256, 68, 2},
        {"a hybrid point", GROUP_P256, 68, 6},
        {"no end of TLS 1.3", GROUP_X25519, 63, 0},
        {"an end of TLS 1.1", GROUP_P256, 63, 0},
        {"another end", GROUP_P256, 56, 'd'},
        {"another end", GROUP_X25519, 59, 'N' ^ 0x20},
    };
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        struct handshake handshake = handshake_of(changes[i].group);
        cr_expect(may_ask(SIGNING_TLS_1_2, SIGNING_ECDSA_SHA256, handshake.content, handshake.size));
        cr_assert_neq(handshake.content[changes[i].at], changes[i].by);
        handshake.content[changes[i].at] = changes[i].by;
        cr_expect_not(may_ask(SIGNING_TLS_1_2, SIGNING_ECDSA_SHA256, handshake.content, handshake.size), "%s",
                      changes[i].what);
    }
    for (unsigned group = GROUP_P256; group <= GROUP_X25519; group += GROUP_X25519 - GROUP_P256) {
        struct handshake handshake = handshake_of(group);
        for (size_t size = 0; size <= SIGNING_CONTENT_MAX; size++)
            cr_expect_eq(may_ask(SIGNING_TLS_1_2, SIGNING_ED25519, handshake.content, size), size == handshake.size);
    }
}

Test(signing, a_point_has_to_lie_on_its_curve) {
    struct handshake handshake = handshake_of(GROUP_P256);
    struct signing_question question;
    for (size_t at = 69; at < handshake.size; at += 7) {
        cr_assert(
            signing_ask(&question, SIGNING_TLS_1_2, SIGNING_ECDSA_SHA256, key, handshake.content, handshake.size));
        cr_expect(signing_question_is_valid(&question, sizeof question));
        question.content[at] ^= 1;
        cr_expect_not(signing_question_is_valid(&question, sizeof question), "byte %zu", at);
    }
}

/* Whatever form their length has, and whatever group they claim: DER, and BER that is not DER. */
Test(signing, one_whole_sequence_is_no_handshake) {
    static const struct {
        unsigned group;
        uint8_t start[8];
        size_t size;
        bool whole;
    } cases[] = {
        {GROUP_X25519, {0x30, 98}, 2, true},
        {GROUP_X25519, {0x30, 97}, 2, false},
        {GROUP_X25519, {0x31, 98}, 2, false},
        {GROUP_X25519, {0x30, 0x81, 97}, 3, true},
        {GROUP_X25519, {0x30, 0x82, 0, 96}, 4, true},
        {GROUP_X25519, {0x30, 0x85, 0, 0, 0, 0, 93}, 7, true},
        {GROUP_P256, {0x30, 0x81, 130}, 3, true},
        {GROUP_P256, {0x30, 0x81, 131}, 3, false},
        {GROUP_P256, {0x30, 0x82, 0, 129}, 4, true},
        {GROUP_P256, {0x30, 0x82, 1, 129}, 4, false},
        {GROUP_P256, {0x30, 0xff, 1, 129}, 4, false},
        {GROUP_P256, {0x30, 0x88, 255, 255, 255, 255, 255, 255}, 8, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct handshake handshake = handshake_of(cases[i].group);
        memcpy(handshake.content, cases[i].start, cases[i].size);
        cr_expect_eq(may_ask(SIGNING_TLS_1_2, SIGNING_ED25519, handshake.content, handshake.size), !cases[i].whole,
                     "case %zu", i);
    }
    struct handshake handshake = handshake_of(GROUP_X25519);
    memcpy(handshake.content, "\x30\x80", 2);
    cr_expect(may_ask(SIGNING_TLS_1_2, SIGNING_ED25519, handshake.content, handshake.size));
    uint8_t *end = handshake.content + handshake.size;
    end[-2] = 0;
    cr_expect(may_ask(SIGNING_TLS_1_2, SIGNING_ED25519, handshake.content, handshake.size), "half of a mark");
    end[-1] = 0;
    cr_expect_not(may_ask(SIGNING_TLS_1_2, SIGNING_ED25519, handshake.content, handshake.size), "its end is marked");
    end[-2] = 9;
    cr_expect(may_ask(SIGNING_TLS_1_2, SIGNING_ED25519, handshake.content, handshake.size), "half of a mark");
}

/* Lengths that lead beyond the end of the content: the sanitized tests detect reads there. */
Test(signing, nothing_is_read_behind_the_content) {
    for (size_t size = 1; size <= SIGNING_CONTENT_MAX; size++) {
        struct handshake handshake = handshake_of(GROUP_X25519);
        uint8_t *content = malloc(size);
        cr_assert_not_null(content);
        memcpy(content, handshake.content, size);
        cr_expect_eq(may_ask(SIGNING_TLS_1_2, SIGNING_ED25519, content, size), size == handshake.size, "%zu", size);
        for (unsigned length = 0x80; size > 1 && length <= 0xff; length++) {
            memset(content, 0, size);
            content[0] = 0x30;
            content[1] = (uint8_t)length;
            cr_expect_not(may_ask(SIGNING_TLS_1_2, SIGNING_ED25519, content, size), "%zu bytes, %x", size, length);
        }
        free(content);
    }
}

Test(signing, one_wrong_field_makes_a_question_malformed) {
    struct signing_question right, question;
    struct handshake handshake = handshake_of(GROUP_X25519);
    cr_assert(signing_ask(&right, SIGNING_TLS_1_2, SIGNING_ECDSA_SHA256, key, handshake.content, handshake.size));
    cr_expect(signing_question_is_valid(&right, sizeof right));
    cr_expect_not(signing_question_is_valid(&right, sizeof right - 1));
    cr_expect_not(signing_question_is_valid(&right, sizeof right + 1));
    cr_expect_not(signing_question_is_valid(&right, 0));
    question = right, question.magic++;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.scheme = 99;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.content_size = 99;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.content_size = UINT32_MAX;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.reserved[6] = 1;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.content[120] = 1;
    cr_expect_not(signing_question_is_valid(&question, sizeof question), "nothing hides behind the content");
}

/* Channels outlive an upgrade: questions of an earlier version are never taken for something else. */
Test(signing, another_version_is_known_and_refused) {
    struct {
        uint32_t magic, scheme;
        uint64_t request_id;
        uint8_t key[SIGNING_KEY_ID];
        uint32_t content_size, reserved;
        uint8_t content[256];
    } before = {.magic = 0x3f676973, .scheme = 1, .request_id = 1ull << 31, .content_size = 32};
    struct signing_question question;
    memcpy(&question, &before, sizeof question);
    cr_expect(signing_question_is_foreign(&question, sizeof before));
    cr_expect_not(signing_question_is_valid(&question, sizeof before));
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    cr_expect_not(signing_question_is_foreign(&question, 3), "as much as there is has to tell");
    cr_expect(signing_question_is_foreign(&question, 4), "the magic alone tells");
    cr_assert(signing_ask(&question, SIGNING_TLS_1_3, SIGNING_ED25519, key, &before, 32));
    cr_expect_not(signing_question_is_foreign(&question, sizeof question));
    question.magic += 1u << 24;
    cr_expect(signing_question_is_foreign(&question, sizeof question));
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question.magic = 0x12345678;
    cr_expect_not(signing_question_is_foreign(&question, sizeof question));
}

Test(signing, what_is_signed_is_laid_out_as_tls_has_it) {
    struct signing_question question;
    uint8_t message[SIGNING_MESSAGE_MAX], transcript[SIGNING_TRANSCRIPT_MAX];
    char expected[64 + 1 + 33 + 1];
    snprintf(expected, sizeof expected, "%64s%s", "", "TLS 1.3, server CertificateVerify");
    memset(transcript, 0xab, sizeof transcript);
    for (size_t size = 32; size <= 48; size += 16) {
        cr_assert(signing_ask(&question, SIGNING_TLS_1_3, SIGNING_ECDSA_SHA256, key, transcript, size));
        cr_expect_eq(signing_message(&question, message), 98 + size);
        cr_expect_arr_eq(message, expected, 98, "the zero byte behind the context included");
        cr_expect_arr_eq(message + 98, transcript, size);
    }
    struct handshake handshake = handshake_of(GROUP_P256);
    cr_assert(signing_ask(&question, SIGNING_TLS_1_2, SIGNING_ECDSA_SHA256, key, handshake.content, handshake.size));
    cr_expect_eq(signing_message(&question, message), handshake.size);
    cr_expect_arr_eq(message, handshake.content, handshake.size);
}

Test(signing, answers) {
    uint8_t signature[SIGNING_SIGNATURE_MAX] = {9};
    struct signing_answer answer;
    signing_reply(&answer, 5, SIGNING_DONE, signature, 70);
    cr_expect(signing_answer_is_valid(&answer, sizeof answer));
    cr_expect_eq(answer.request_id, 5);
    answer.magic = 0x21676973;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer), "of the version before");
    signing_reply(&answer, 5, SIGNING_DONE, signature, 70);
    answer.signature_size = 0;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer), "done without a signature");
    signing_reply(&answer, 5, SIGNING_REFUSED, signature, 70);
    cr_expect(signing_answer_is_valid(&answer, sizeof answer));
    cr_expect_eq(answer.signature_size, 0, "refused answers hold no bytes");
    answer.signature_size = 1;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer));
    signing_reply(&answer, 5, SIGNING_DONE, signature, SIGNING_SIGNATURE_MAX);
    cr_expect_eq(answer.result, SIGNING_DONE);
    cr_expect(signing_answer_is_valid(&answer, sizeof answer), "the longest signature");
    answer.signature_size++;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer));
    signing_reply(&answer, 5, SIGNING_DONE, signature, SIGNING_SIGNATURE_MAX + 1);
    cr_expect_eq(answer.result, SIGNING_FAILED);
    cr_expect(signing_answer_is_valid(&answer, sizeof answer), "the last of the results");
    answer.result++;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer), "a result that there is not");
    signing_reply(&answer, 5, SIGNING_DONE, signature, 1);
    cr_expect(signing_answer_is_valid(&answer, sizeof answer), "the shortest signature");
    cr_expect_eq(answer.signature_size, 1);
    answer.reserved = 1;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer), "a byte that means nothing");
    answer.reserved = 0;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer - 1));
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer + 1));
    signing_reply(&answer, 5, SIGNING_DONE, signature, 0);
    cr_expect_eq(answer.result, SIGNING_FAILED, "no signature is none");
}

/* ---- the signing client ---- */

#define ASKERS 2000

static struct signing_client signing_client;
static int pair[2];
static struct signing_client_request requests[ASKERS];
static size_t called[ASKERS];    /* how often an asker was called */
static size_t order[2 * ASKERS]; /* the order in which askers were called */
static size_t calls;

static void open_signing_client(void) {
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    memset(&signing_client, 0xa5, sizeof signing_client); /* a worker's memory is not zeroed either */
    signing_client_open(&signing_client, pair[0]);
}

static void close_signing_client(void) {
    close(pair[0]), close(pair[1]);
}

TestSuite(signing_client, .init = open_signing_client, .fini = close_signing_client);

static void count_call(void *owner, const uint8_t *signature, size_t size, void *context) {
    size_t asker = (size_t)((struct signing_client_request *)owner - requests);
    (void)signature, (void)size;
    cr_assert_eq(context, called);
    cr_assert_eq(requests[asker].state, SIGNING_CLIENT_IDLE);
    called[asker]++;
    order[calls++] = asker;
}

static void ask_by(size_t asker, uint64_t prefix, enum signing_scheme scheme) {
    static const uint8_t transcript[32] = {1};
    cr_assert(signing_ask(&requests[asker].question, SIGNING_TLS_1_3, scheme, key, transcript, sizeof transcript));
    requests[asker].owner = &requests[asker];
    signing_client_ask(&signing_client, &requests[asker],
                       &(struct signing_client_origin){prefix, prefix >> 32 ? prefix >> 32 : prefix});
}

/* A client in a network that contains other clients, too. */
#define IN_NETWORK(network, client) ((uint64_t)(network) << 32 | (client))

static void ask(size_t asker, uint64_t prefix) {
    ask_by(asker, prefix, SIGNING_ECDSA_SHA256);
}

/* Answers each question in the channel `times` times. Returns how many there were. */
static size_t answer_all(int times) {
    struct signing_question question;
    struct signing_answer answer;
    size_t count = 0;
    while (recv(pair[1], &question, sizeof question, 0) > 0) {
        cr_assert(signing_question_is_valid(&question, sizeof question));
        signing_reply(&answer, question.request_id, SIGNING_DONE, "sig", 3);
        for (int i = 0; i < times; i++)
            cr_assert_eq(send(pair[1], &answer, sizeof answer, 0), (ssize_t)sizeof answer);
        count++;
    }
    return count;
}

static void receive(void) {
    for (int i = 0; i < 4; i++)
        cr_assert(signing_client_receive(&signing_client, count_call, called));
}

static size_t go_round(void) {
    signing_client_send(&signing_client);
    size_t count = answer_all(1);
    receive();
    return count;
}

/* All queues must be free again: none was lost. */
static void expect_all_free(void) {
    size_t count = 0;
    for (uint32_t line = signing_client.free_line; line != SIGNING_CLIENT_LINES;
         line = signing_client.lines[line].next_alike)
        cr_assert_leq(++count, SIGNING_CLIENT_LINES);
    cr_expect_eq(count, SIGNING_CLIENT_LINES);
    cr_expect_eq(signing_client.unsent_count, 0);
    for (size_t i = 0; i < SIGNING_CLIENT_UNDER_WAY; i++)
        cr_expect_not(signing_client.slots[i].taken);
}

Test(signing_client, answers_find_their_askers_and_nobody_else) {
    ask(0, 1);
    ask(1, 1);
    signing_client_send(&signing_client);
    signing_client_forget(&signing_client, &requests[0]);
    cr_expect_eq(answer_all(2), 2); /* each answer is sent twice: the second one has no receiver */
    receive();
    cr_expect_eq(calls, 1);
    cr_expect_eq(called[1], 1);
    signing_client_forget(&signing_client, &requests[1]); /* has no effect on an answered question */
    expect_all_free();
}

/* Forgetting a question twice must not remove a later question in the same slot. */
Test(signing_client, forgotten_twice_is_forgotten_once) {
    ask(0, 1);
    signing_client_send(&signing_client);
    signing_client_forget(&signing_client, &requests[0]);
    cr_assert_eq(answer_all(1), 1);
    receive();
    ask(1, 1); /* in the same slot */
    signing_client_send(&signing_client);
    signing_client_forget(&signing_client, &requests[0]);
    cr_assert_eq(answer_all(1), 1);
    receive();
    cr_expect_eq(called[0], 0);
    cr_expect_eq(called[1], 1, "her answer went to nobody");
    expect_all_free();
}

/* The slot is the same, but the request_id differs. */
Test(signing_client, a_late_answer_meets_nobody) {
    struct signing_answer answer;
    struct signing_question question;
    ask(0, 1);
    signing_client_send(&signing_client);
    cr_assert_gt(recv(pair[1], &question, sizeof question, 0), 0);
    signing_reply(&answer, question.request_id, SIGNING_DONE, "sig", 3);
    uint64_t first = question.request_id;
    cr_assert_gt(send(pair[1], &answer, sizeof answer, 0), 0);
    receive();
    cr_assert_eq(called[0], 1);
    ask(1, 1);
    signing_client_send(&signing_client);
    cr_assert_gt(recv(pair[1], &question, sizeof question, 0), 0);
    cr_expect_eq((uint32_t)question.request_id, (uint32_t)first, "the slot is the same");
    cr_expect_neq(question.request_id, first);
    cr_assert_gt(send(pair[1], &answer, sizeof answer, 0), 0); /* the first one again */
    receive();
    cr_expect_eq(called[1], 0, "that was not her answer");
    answer.request_id = question.request_id;
    cr_assert_gt(send(pair[1], &answer, sizeof answer, 0), 0);
    receive();
    cr_expect_eq(called[1], 1);
    expect_all_free();
}

Test(signing_client, few_questions_lie_in_the_channel_and_nobody_fails) {
    for (size_t i = 0; i < ASKERS; i++)
        ask(i, i);
    signing_client_send(&signing_client);
    signing_client_send(&signing_client);
    size_t most = answer_all(1), rounds = 1;
    cr_expect_eq(most, SIGNING_CLIENT_UNDER_WAY);
    receive();
    while (calls < ASKERS && rounds++ < ASKERS)
        cr_expect_leq(go_round(), SIGNING_CLIENT_UNDER_WAY);
    cr_expect_eq(calls, ASKERS);
    for (size_t i = 0; i < ASKERS; i++)
        cr_expect_eq(called[i], 1, "asker %zu", i);
    expect_all_free();
}

Test(signing_client, a_full_channel_is_waited_for) {
    int filler = 0;
    cr_assert_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    char bytes[512] = "";
    while (send(pair[0], bytes, sizeof bytes, 0) > 0)
        filler++;
    for (size_t i = 0; i < 40; i++)
        ask(i, i % 10);
    signing_client_send(&signing_client);
    signing_client_forget(&signing_client, &requests[0]); /* has a slot, but was not sent */
    while (filler-- > 0)
        cr_assert_eq(recv(pair[1], bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
    for (int rounds = 0; rounds < 40 && calls < 39; rounds++)
        go_round();
    cr_expect_eq(calls, 39);
    cr_expect_eq(called[0], 0);
    expect_all_free();
}

/* One address with the maximum number of questions, and another that comes last. */
Test(signing_client, prefixes_take_turns) {
    for (size_t i = 0; i < 100; i++)
        ask(i, 1);
    ask(100, 2);
    ask(101, 3);
    signing_client_send(&signing_client);
    size_t first = answer_all(1);
    cr_expect_eq(first, SIGNING_CLIENT_NETWORK_UNDER_WAY + 2, "few of one prefix");
    receive();
    cr_expect(called[100] == 1 && called[101] == 1);
    for (size_t i = 102; i < 110; i++)
        ask(i, i);
    go_round();
    for (size_t i = 102; i < 110; i++)
        cr_expect_eq(called[i], 1);
    while (calls < 110)
        cr_assert_gt(go_round(), 0);
    for (size_t i = 0, last = 0; i < 110; i++) {
        if (order[i] >= 100)
            continue;
        cr_expect_geq(order[i], last, "in a line nobody overtakes");
        last = order[i];
    }
    expect_all_free();
}

Test(signing_client, of_one_prefix_one_slow_signature_is_under_way) {
    for (size_t i = 0; i < 50; i++)
        ask_by(i, 1, SIGNING_RSA_PSS_SHA256);
    for (size_t i = 50; i < 53; i++)
        ask_by(i, i, SIGNING_RSA_PSS_SHA512);
    cr_expect_eq(go_round(), 4);
    for (size_t i = 50; i < 53; i++)
        cr_expect_eq(called[i], 1);
    cr_expect_eq(go_round(), 1);
    /* Askers that leave and come back gain no advantage. */
    signing_client_send(&signing_client);
    for (size_t i = 2; i < 50; i++)
        signing_client_forget(&signing_client, &requests[i]);
    ask_by(60, 1, SIGNING_RSA_PSS_SHA256);
    signing_client_send(&signing_client);
    cr_expect_eq(answer_all(1), 1, "the one under way counts until it is answered");
    receive();
    cr_expect_eq(called[60], 0);
    go_round();
    cr_expect_eq(called[60], 1);
    expect_all_free();
}

/* Many addresses in one network with one question each, and others that come last. */
Test(signing_client, many_addresses_in_a_network_gain_nothing) {
    for (size_t i = 0; i < 100; i++)
        ask_by(i, IN_NETWORK(7, i + 1), SIGNING_RSA_PSS_SHA256);
    ask_by(100, IN_NETWORK(8, 1), SIGNING_RSA_PSS_SHA256);
    ask_by(101, IN_NETWORK(9, 1), SIGNING_RSA_PSS_SHA256);
    cr_expect_eq(go_round(), 3, "one of each network");
    cr_expect(called[100] == 1 && called[101] == 1);
    cr_expect_eq(go_round(), 1);
    /* A newcomer is served neither after those that have waited, nor far before them. */
    ask_by(102, IN_NETWORK(8, 2), SIGNING_RSA_PSS_SHA256);
    cr_expect_eq(go_round(), 2);
    cr_expect_eq(called[102], 1);
    for (int rounds = 0; rounds < 200 && calls < 103; rounds++)
        go_round();
    cr_expect_eq(calls, 103);
    expect_all_free();
}

/* If there are more networks than slots, a network's first question goes before other networks' tenth. */
Test(signing_client, networks_take_turns_for_slots) {
    enum { CROWDED = SIGNING_CLIENT_UNDER_WAY / SIGNING_CLIENT_NETWORK_UNDER_WAY, LAST = 100 * CROWDED };
    for (size_t i = 0; i < LAST; i++)
        ask(i, IN_NETWORK(7 + i % CROWDED, i + 1));
    ask(LAST, IN_NETWORK(99, 1));
    cr_expect_eq(go_round(), SIGNING_CLIENT_UNDER_WAY);
    cr_expect_eq(called[LAST], 1);
    /* It has had its turn by now, and has no further advantage. */
    for (size_t i = 1; i <= 20; i++)
        ask(LAST + i, IN_NETWORK(99, i));
    cr_expect_eq(go_round(), SIGNING_CLIENT_UNDER_WAY);
    size_t others = 0;
    for (size_t i = 0; i < LAST; i++)
        others += called[i];
    cr_expect_geq(others, SIGNING_CLIENT_UNDER_WAY - 1 + SIGNING_CLIENT_UNDER_WAY / 2, "%zu", others);
    while (calls < LAST + 21)
        cr_assert_gt(go_round(), 0);
    expect_all_free();
}

/* The clients of one network take turns, too. */
Test(signing_client, within_a_network_addresses_take_turns) {
    for (size_t i = 0; i < 50; i++)
        ask_by(i, IN_NETWORK(7, 1), SIGNING_RSA_PSS_SHA256);
    ask_by(50, IN_NETWORK(7, 2), SIGNING_RSA_PSS_SHA256);
    for (int rounds = 0; rounds < 3; rounds++)
        go_round();
    cr_expect_eq(called[50], 1);
    for (int rounds = 0; rounds < 100 && calls < 51; rounds++)
        go_round();
    cr_expect_eq(calls, 51);
    expect_all_free();
}

Test(signing_client, whoever_has_gone_is_not_asked_for) {
    for (size_t i = 0; i < ASKERS; i++)
        ask(i, i % 3);
    signing_client_send(&signing_client);
    for (size_t i = 0; i < ASKERS; i++)
        signing_client_forget(&signing_client, &requests[i]);
    cr_expect_eq(answer_all(1), SIGNING_CLIENT_UNDER_WAY, "what was under way, and nothing else");
    receive();
    cr_expect_eq(calls, 0);
    cr_expect_eq(go_round(), 0);
    expect_all_free();
}

/* More prefixes than queues: some share one, and all are served. */
Test(signing_client, more_prefixes_than_lines) {
    for (size_t i = 0; i < ASKERS; i++)
        ask(i, i * 0x9e3779b97f4a7c15u);
    cr_expect_eq(signing_client.free_line, SIGNING_CLIENT_LINES);
    for (size_t i = 0; i < ASKERS; i += 2)
        signing_client_forget(&signing_client, &requests[i]);
    while (go_round() > 0)
        ;
    cr_expect_eq(calls, ASKERS / 2);
    expect_all_free();
}

static void ask_again(void *owner, const uint8_t *signature, size_t size, void *context) {
    size_t asker = (size_t)((struct signing_client_request *)owner - requests);
    count_call(owner, signature, size, context);
    if (asker == 0 && called[0] < 3)
        ask(0, 1);
}

Test(signing_client, an_asker_may_ask_again_at_once) {
    ask(0, 1);
    for (int i = 0; i < 5; i++) {
        signing_client_send(&signing_client);
        answer_all(1);
        cr_assert(signing_client_receive(&signing_client, ask_again, called));
    }
    cr_expect_eq(called[0], 3);
    expect_all_free();
}

static size_t told_size = 99;

static void note_size(void *owner, const uint8_t *signature, size_t size, void *context) {
    count_call(owner, signature, size, context);
    told_size = size;
}

/* The asker gets the size of the signature; 0: there is none. */
Test(signing_client, a_refusal_has_no_signature) {
    static const struct {
        enum signing_result result;
        size_t size;
    } cases[] = {{SIGNING_DONE, 3}, {SIGNING_REFUSED, 0}, {SIGNING_FAILED, 0}, {SIGNING_DONE, 1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct signing_question question;
        struct signing_answer answer;
        ask(0, 1);
        signing_client_send(&signing_client);
        cr_assert_eq(recv(pair[1], &question, sizeof question, 0), (ssize_t)sizeof question);
        signing_reply(&answer, question.request_id, cases[i].result, "sig", cases[i].size);
        cr_assert_eq(send(pair[1], &answer, sizeof answer, 0), (ssize_t)sizeof answer);
        cr_assert(signing_client_receive(&signing_client, note_size, called));
        cr_expect_eq(called[0], i + 1);
        cr_expect_eq(told_size, cases[i].size, "case %zu: %zu", i, told_size);
    }
    expect_all_free();
}

Test(signing_client, the_end_of_the_channel_is_told) {
    cr_expect(signing_client_receive(&signing_client, count_call, called));
    shutdown(pair[1], SHUT_WR);
    cr_expect_not(signing_client_receive(&signing_client, count_call, called));
}
