/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "signing.h"

#include <string.h>

#define QUESTION_MAGIC 0x3f676973u /* "sig?" */
#define ANSWER_MAGIC 0x21676973u   /* "sig!" */

/* A DigestInfo holds an algorithm's name, about 19 bytes, and the digest. */
#define DIGEST_INFO_MIN 35
#define DIGEST_INFO_MAX 90

static bool fits(uint32_t scheme, uint32_t size) {
    switch (scheme) {
    case SIGNING_ECDSA:
        return size == 32 || size == 48 || size == 64;
    case SIGNING_RSA_PKCS1:
        return size >= DIGEST_INFO_MIN && size <= DIGEST_INFO_MAX;
    case SIGNING_ED25519:
        return size >= 1 && size <= SIGNING_CONTENT_MAX;
    case SIGNING_RSA_PSS_SHA256:
        return size == 32;
    case SIGNING_RSA_PSS_SHA384:
        return size == 48;
    case SIGNING_RSA_PSS_SHA512:
        return size == 64;
    default:
        return false;
    }
}

static bool is_zero(const uint8_t *bytes, size_t size) {
    uint8_t all = 0;
    for (size_t i = 0; i < size; i++)
        all |= bytes[i];
    return all == 0;
}

bool signing_ask(struct signing_question *question, enum signing_scheme scheme, uint64_t ticket,
                 const uint8_t key[static SIGNING_KEY_NAME], const void *content, size_t size) {
    if (size > SIGNING_CONTENT_MAX || !fits(scheme, (uint32_t)size))
        return false;
    *question = (struct signing_question){
        .magic = QUESTION_MAGIC, .scheme = scheme, .ticket = ticket, .content_size = (uint32_t)size};
    memcpy(question->key, key, SIGNING_KEY_NAME);
    memcpy(question->content, content, size);
    return true;
}

bool signing_question_is_valid(const struct signing_question *question, size_t size) {
    return size == sizeof *question && question->magic == QUESTION_MAGIC && question->reserved == 0 &&
           question->content_size <= SIGNING_CONTENT_MAX && fits(question->scheme, question->content_size) &&
           is_zero(question->content + question->content_size, SIGNING_CONTENT_MAX - question->content_size);
}

void signing_reply(struct signing_answer *answer, uint64_t ticket, enum signing_result result, const void *signature,
                   size_t size) {
    if (result == SIGNING_DONE && (size == 0 || size > SIGNING_SIGNATURE_MAX))
        result = SIGNING_FAILED;
    *answer = (struct signing_answer){.magic = ANSWER_MAGIC, .result = result, .ticket = ticket};
    if (result == SIGNING_DONE) {
        answer->signature_size = (uint32_t)size;
        memcpy(answer->signature, signature, size);
    }
}

bool signing_answer_is_valid(const struct signing_answer *answer, size_t size) {
    return size == sizeof *answer && answer->magic == ANSWER_MAGIC && answer->reserved == 0 &&
           answer->result <= SIGNING_FAILED && answer->signature_size <= SIGNING_SIGNATURE_MAX &&
           (answer->result == SIGNING_DONE) == (answer->signature_size > 0);
}
