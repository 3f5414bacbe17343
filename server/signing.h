/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The messages between a worker and the key process: "sign this with that key" and the signature. Both have one fixed
 * size, so that the key process, which trusts nobody, has nothing to parse but numbers that it checks.
 * They travel over a SOCK_SEQPACKET socket inside one machine, in its own byte order.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNING_CONTENT_MAX 256   /* bytes to sign: a digest, a DigestInfo, or the short message of Ed25519 */
#define SIGNING_SIGNATURE_MAX 512 /* bytes of a signature: RSA with 4096 bits */
#define SIGNING_KEY_NAME 32       /* bytes: SHA-256 of the key's SubjectPublicKeyInfo */

/* How to sign. The numbers are those of TLS where it has one (RFC 8446 section 4.2.3). */
enum signing_scheme {
    SIGNING_ECDSA = 1,               /* content: a digest of 32, 48 or 64 bytes */
    SIGNING_RSA_PKCS1 = 2,           /* content: a DigestInfo (RFC 8017 section 9.2); TLS 1.2 only */
    SIGNING_ED25519 = 0x0807,        /* content: the message itself */
    SIGNING_RSA_PSS_SHA256 = 0x0804, /* content: a digest of that hash */
    SIGNING_RSA_PSS_SHA384 = 0x0805,
    SIGNING_RSA_PSS_SHA512 = 0x0806,
};

struct signing_question {
    uint32_t magic;
    uint32_t scheme;
    uint64_t ticket; /* comes back with the answer */
    uint8_t key[SIGNING_KEY_NAME];
    uint32_t content_size;
    uint32_t reserved; /* 0 */
    uint8_t content[SIGNING_CONTENT_MAX];
};

enum signing_result {
    SIGNING_DONE = 0,
    SIGNING_REFUSED = 1, /* an unknown key, or a scheme that is not this key's */
    SIGNING_FAILED = 2,  /* the arithmetic went wrong */
};

struct signing_answer {
    uint32_t magic;
    uint32_t result;
    uint64_t ticket;
    uint32_t signature_size;
    uint32_t reserved;
    uint8_t signature[SIGNING_SIGNATURE_MAX];
};

/*
 * Makes a question. content: at most SIGNING_CONTENT_MAX bytes. Returns false when it is longer, or empty.
 */
bool signing_ask(struct signing_question *question, enum signing_scheme scheme, uint64_t ticket,
                 const uint8_t key[static SIGNING_KEY_NAME], const void *content, size_t size);

/* Is this a well-formed question: its size, magic, scheme, and a content that fits the scheme? */
bool signing_question_is_valid(const struct signing_question *question, size_t size);

/* Makes an answer; a signature only with SIGNING_DONE, at most SIGNING_SIGNATURE_MAX bytes. */
void signing_reply(struct signing_answer *answer, uint64_t ticket, enum signing_result result, const void *signature,
                   size_t size);

/* Is this a well-formed answer? */
bool signing_answer_is_valid(const struct signing_answer *answer, size_t size);
