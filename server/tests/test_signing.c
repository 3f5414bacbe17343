/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../desk.h"
#include "../signing.h"

static const uint8_t key[SIGNING_KEY_NAME] = {7};
static const uint8_t content[SIGNING_CONTENT_MAX + 1] = {1};

Test(signing, sizes_that_fit_each_scheme) {
    static const struct {
        enum signing_scheme scheme;
        size_t size;
        bool fits;
    } cases[] = {
        {SIGNING_ECDSA, 32, true},
        {SIGNING_ECDSA, 48, true},
        {SIGNING_ECDSA, 64, true},
        {SIGNING_ECDSA, 0, false},
        {SIGNING_ECDSA, 20, false},
        {SIGNING_ECDSA, 65, false},
        {SIGNING_RSA_PKCS1, 51, true},
        {SIGNING_RSA_PKCS1, 34, false},
        {SIGNING_RSA_PKCS1, 91, false},
        {SIGNING_ED25519, 130, true},
        {SIGNING_ED25519, 256, true},
        {SIGNING_ED25519, 0, false},
        {SIGNING_ED25519, 257, false},
        {SIGNING_RSA_PSS_SHA256, 32, true},
        {SIGNING_RSA_PSS_SHA256, 48, false},
        {SIGNING_RSA_PSS_SHA384, 48, true},
        {SIGNING_RSA_PSS_SHA384, 32, false},
        {SIGNING_RSA_PSS_SHA512, 64, true},
        {SIGNING_RSA_PSS_SHA512, 32, false},
        {0, 32, false},
        {3, 32, false},
        {0x0803, 32, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct signing_question question;
        bool asked = signing_ask(&question, cases[i].scheme, 1, key, content, cases[i].size);
        cr_expect_eq(asked, cases[i].fits, "case %zu", i);
        if (asked)
            cr_expect(signing_question_is_valid(&question, sizeof question), "case %zu", i);
    }
}

Test(signing, one_wrong_field_makes_a_question_malformed) {
    struct signing_question right, question;
    cr_assert(signing_ask(&right, SIGNING_ECDSA, 1, key, content, 32));
    cr_expect(signing_question_is_valid(&right, sizeof right));
    cr_expect_not(signing_question_is_valid(&right, sizeof right - 1));
    cr_expect_not(signing_question_is_valid(&right, 0));
    question = right, question.magic++;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.scheme = 99;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.content_size = 33;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.content_size = UINT32_MAX;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.reserved = 1;
    cr_expect_not(signing_question_is_valid(&question, sizeof question));
    question = right, question.content[200] = 1;
    cr_expect_not(signing_question_is_valid(&question, sizeof question), "nothing hides behind the content");
}

Test(signing, answers) {
    uint8_t signature[SIGNING_SIGNATURE_MAX] = {9};
    struct signing_answer answer;
    signing_reply(&answer, 5, SIGNING_DONE, signature, 70);
    cr_expect(signing_answer_is_valid(&answer, sizeof answer));
    cr_expect_eq(answer.ticket, 5);
    answer.signature_size = 0;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer), "done without a signature");
    signing_reply(&answer, 5, SIGNING_REFUSED, signature, 70);
    cr_expect(signing_answer_is_valid(&answer, sizeof answer));
    cr_expect_eq(answer.signature_size, 0, "refused answers hold no bytes");
    answer.signature_size = 1;
    cr_expect_not(signing_answer_is_valid(&answer, sizeof answer));
    signing_reply(&answer, 5, SIGNING_DONE, signature, SIGNING_SIGNATURE_MAX + 1);
    cr_expect_eq(answer.result, SIGNING_FAILED);
}

static int calls;
static void *called_for;

static void count_call(void *owner, const uint8_t *signature, size_t size, void *context) {
    (void)signature, (void)size, (void)context;
    calls++;
    called_for = owner;
}

static void answer_all(int channel, int times) {
    struct signing_question question;
    struct signing_answer answer;
    /* No more than a socket takes without being read. */
    for (int count = 0; count < 16 && recv(channel, &question, sizeof question, MSG_DONTWAIT) > 0; count++) {
        signing_reply(&answer, question.ticket, SIGNING_DONE, "sig", 3);
        for (int i = 0; i < times; i++)
            cr_assert_eq(send(channel, &answer, sizeof answer, 0), (ssize_t)sizeof answer);
    }
}

Test(desk, answers_find_their_askers_and_nobody_else) {
    static struct desk desk;
    int pair[2], first, second;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    desk_open(&desk, pair[0]);
    uint64_t one = desk_ask(&desk, &first, SIGNING_ECDSA, key, content, 32);
    uint64_t two = desk_ask(&desk, &second, SIGNING_ECDSA, key, content, 32);
    cr_assert(one != 0 && two != 0 && one != two);
    cr_expect_eq(desk_ask(&desk, &first, SIGNING_ECDSA, key, content, 31), 0, "a content that does not fit");
    desk_forget(&desk, one);
    desk_send(&desk);
    answer_all(pair[1], 2); /* each answer twice: the second one meets nobody */
    desk_receive(&desk, count_call, NULL);
    cr_expect_eq(calls, 1);
    cr_expect_eq(called_for, &second);
    uint64_t three = desk_ask(&desk, &first, SIGNING_ECDSA, key, content, 32);
    cr_expect(three != one && three != two, "tickets are not used again");
    desk_receive(&desk, count_call, NULL);
    cr_expect_eq(calls, 1);
    close(pair[0]), close(pair[1]);
}

Test(desk, holds_a_limited_number_and_recovers) {
    static struct desk desk;
    int pair[2], owner;
    calls = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    desk_open(&desk, pair[0]);
    for (int i = 0; i < DESK_WAITING_MAX; i++)
        cr_assert_neq(desk_ask(&desk, &owner, SIGNING_ECDSA, key, content, 32), 0);
    cr_expect_eq(desk_ask(&desk, &owner, SIGNING_ECDSA, key, content, 32), 0, "the desk is full");
    for (int i = 0; i < DESK_WAITING_MAX && calls < DESK_WAITING_MAX; i++) {
        desk_send(&desk); /* as much as the socket takes */
        answer_all(pair[1], 1);
        desk_receive(&desk, count_call, NULL);
    }
    cr_expect_eq(calls, DESK_WAITING_MAX);
    cr_expect_neq(desk_ask(&desk, &owner, SIGNING_ECDSA, key, content, 32), 0, "there is room again");
    close(pair[0]), close(pair[1]);
}
