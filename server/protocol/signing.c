/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "signing.h"

#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/ecc.h>

/* The last byte is the version. Earlier versions used "sig?" and "sig!". */
#define QUESTION_MAGIC 0x32716773u /* "sgq2" */
#define ANSWER_MAGIC 0x32616773u   /* "sga2" */
#define MAGIC_WITHOUT_VERSION 0x00ffffffu
#define QUESTION_MAGIC_BEFORE 0x3f676973u

_Static_assert(sizeof(struct signing_question) == 192, "no byte of a question is left to chance");
_Static_assert(sizeof(struct signing_answer) == 24 + SIGNING_SIGNATURE_MAX, "no byte of an answer is left to chance");

/* ---- what a server of TLS 1.2 signs ---- */

#define RANDOMS (2 * SIGNING_RANDOM)
#define NAMED_CURVE 3 /* RFC 8422 section 5.4 */
#define GROUP_P256 23
#define GROUP_X25519 29
#define X25519_SIZE 32
#define POINT_SIZE 65 /* of P-256, uncompressed: the only form (RFC 8422 section 5.1.2) */

/* RFC 8446 section 4.1.3: the end of the random of a server that can speak TLS 1.3, as ours always can. */
static const uint8_t downgrade[8] = {'D', 'O', 'W', 'N', 'G', 'R', 'D', 1};

/*
 * Is it one SEQUENCE, by the rules of DER or the looser ones of BER (X.690 section 8.1.3)? It would begin in the
 * client's random, which a worker can choose.
 */
static bool is_sequence(const uint8_t *content, size_t size) {
    if (content[0] != 0x30)
        return false;
    if (content[1] == 0x80) /* two zero bytes mark its end */
        return content[size - 2] == 0 && content[size - 1] == 0;
    if (content[1] < 0x80)
        return 2u + content[1] == size;
    size_t count = content[1] & 0x7f, length = 0;
    if (count > size - 2)
        return false;
    for (size_t i = 0; i < count && length <= size; i++)
        length = length << 8 | content[2 + i];
    return 2 + count + length == size;
}

static bool is_key_exchange(const uint8_t *content, size_t size) {
    if (size < RANDOMS + 4 || is_sequence(content, size))
        return false;
    const uint8_t *parameters = content + RANDOMS;
    if (memcmp(parameters - sizeof downgrade, downgrade, sizeof downgrade) != 0 || parameters[0] != NAMED_CURVE ||
        parameters[1] != 0 || RANDOMS + 4u + parameters[3] != size)
        return false;
    return (parameters[2] == GROUP_X25519 && parameters[3] == X25519_SIZE) ||
           (parameters[2] == GROUP_P256 && parameters[3] == POINT_SIZE && parameters[4] == 4);
}

/* Is the point on P-256? 64 bytes that somebody chose for another purpose, such as a part of a certificate, are not. */
static bool is_point(const uint8_t *point) {
    ecc_key key;
    if (wc_ecc_init(&key) != 0)
        return false;
    bool is = wc_ecc_import_x963_ex2(point, POINT_SIZE, &key, ECC_SECP256R1, 1) == 0;
    wc_ecc_free(&key);
    return is;
}

/* ---- what a server of TLS 1.3 signs ---- */

#define SPACES 64

static const char context[] = "TLS 1.3, server CertificateVerify"; /* its final NUL is also the zero byte after it */

_Static_assert(SPACES + sizeof context + SIGNING_TRANSCRIPT_MAX == SIGNING_MESSAGE_MAX,
               "there is room for the longest");

/* ---- questions ---- */

static bool is_scheme(enum signing_version version, enum signing_scheme scheme) {
    switch (scheme) {
    case SIGNING_RSA_PKCS1_SHA256:
    case SIGNING_RSA_PKCS1_SHA384:
    case SIGNING_RSA_PKCS1_SHA512:
        return version == SIGNING_TLS_1_2;
    case SIGNING_ECDSA_SHA256:
    case SIGNING_ECDSA_SHA384:
    case SIGNING_ECDSA_SHA512:
    case SIGNING_RSA_PSS_SHA256:
    case SIGNING_RSA_PSS_SHA384:
    case SIGNING_RSA_PSS_SHA512:
    case SIGNING_ED25519:
        return true;
    default:
        return false;
    }
}

static bool fits(enum signing_version version, enum signing_scheme scheme, const uint8_t *content, size_t size) {
    switch (version) {
    case SIGNING_TLS_1_2:
        return is_scheme(version, scheme) && is_key_exchange(content, size);
    case SIGNING_TLS_1_3:
        return is_scheme(version, scheme) && (size == 32 || size == SIGNING_TRANSCRIPT_MAX);
    default:
        return false;
    }
}

bool signing_is_slow(enum signing_scheme scheme) {
    switch (scheme) {
    case SIGNING_ECDSA_SHA256:
    case SIGNING_ECDSA_SHA512:
    case SIGNING_ED25519:
        return false; /* with SHA-384, it is usually P-384 */
    default:
        return true;
    }
}

static bool is_zero(const uint8_t *bytes, size_t size) {
    uint8_t all = 0;
    for (size_t i = 0; i < size; i++)
        all |= bytes[i];
    return all == 0;
}

bool signing_ask(struct signing_question *question, enum signing_version version, enum signing_scheme scheme,
                 const uint8_t key_id[static SIGNING_KEY_ID], const void *content, size_t size) {
    if (size > SIGNING_CONTENT_MAX || !fits(version, scheme, content, size))
        return false;
    *question = (struct signing_question){.magic = QUESTION_MAGIC,
                                          .version = (uint16_t)version,
                                          .scheme = (uint16_t)scheme,
                                          .content_size = (uint32_t)size};
    memcpy(question->key_id, key_id, SIGNING_KEY_ID);
    memcpy(question->content, content, size);
    return true;
}

bool signing_question_is_valid(const struct signing_question *question, size_t size) {
    if (size != sizeof *question || question->magic != QUESTION_MAGIC || question->content_size > SIGNING_CONTENT_MAX ||
        !is_zero(question->reserved, sizeof question->reserved) ||
        !is_zero(question->content + question->content_size, SIGNING_CONTENT_MAX - question->content_size) ||
        !fits(question->version, question->scheme, question->content, question->content_size))
        return false;
    /* A worker need not check its own point, but here we must not trust the worker. */
    const uint8_t *parameters = question->content + RANDOMS;
    return question->version != SIGNING_TLS_1_2 || parameters[2] != GROUP_P256 || is_point(parameters + 4);
}

bool signing_question_is_foreign(const struct signing_question *question, size_t size) {
    if (size < sizeof question->magic || question->magic == QUESTION_MAGIC)
        return false;
    return question->magic == QUESTION_MAGIC_BEFORE ||
           ((question->magic ^ QUESTION_MAGIC) & MAGIC_WITHOUT_VERSION) == 0;
}

size_t signing_message(const struct signing_question *question, uint8_t message[static SIGNING_MESSAGE_MAX]) {
    size_t before = 0;
    if (question->version == SIGNING_TLS_1_3) {
        memset(message, ' ', SPACES);
        memcpy(message + SPACES, context, sizeof context);
        before = SPACES + sizeof context;
    }
    memcpy(message + before, question->content, question->content_size);
    return before + question->content_size;
}

/* ---- answers ---- */

void signing_reply(struct signing_answer *answer, uint64_t request_id, enum signing_result result,
                   const void *signature, size_t size) {
    if (result == SIGNING_DONE && (size == 0 || size > SIGNING_SIGNATURE_MAX))
        result = SIGNING_FAILED;
    *answer = (struct signing_answer){.magic = ANSWER_MAGIC, .result = result, .request_id = request_id};
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
