/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The messages between a worker and the key process: "sign this handshake with that key" and the signature. Both have
 * one fixed size, so that the key process, which trusts nobody, parses only numbers, and checks them.
 *
 * A question does not carry a digest, which could be the digest of anything. It carries what a TLS server signs. The
 * key process checks its form, completes it and hashes it:
 *   TLS 1.3: the transcript hash. The key process puts 64 spaces, the context string and a zero byte before it
 *            (RFC 8446 section 4.4.3).
 *   TLS 1.2: the client's random, the server's random and the parameters of the ServerKeyExchange
 *            (RFC 8422 section 5.4): X25519, or a point on P-256. The server's random must end as that of a server that
 *            also speaks TLS 1.3 (RFC 8446 section 4.1.3).
 *
 * So a worker that was taken over can get handshakes signed, and nothing else: no certificate, certificate request or
 * list of revoked certificates, no JSON Web Signature and no other text. (The first three are each one DER SEQUENCE.
 * TLS 1.2 content that is one SEQUENCE is refused, which also affects one in 65,536 honest TLS 1.2 handshakes.)
 *
 * Messages travel over a SOCK_SEQPACKET socket inside one machine, in its own byte order. Sockets outlive a process and
 * an upgrade. If you change a message, change its magic number and its size, so that other versions refuse it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNING_TRANSCRIPT_MAX 48 /* bytes of a transcript hash: 32 with SHA-256, 48 with SHA-384 */
#define SIGNING_RANDOM 32         /* bytes of a client's or server's random */
#define SIGNING_CONTENT_MAX 133   /* bytes: two randoms, three for the curve, one for the length, a point on P-256 */
#define SIGNING_MESSAGE_MAX 146   /* bytes that are hashed and signed */
#define SIGNING_SIGNATURE_MAX 512 /* bytes of a signature: RSA with 4096 bits */
#define SIGNING_KEY_ID 32         /* bytes: SHA-256 of the key's SubjectPublicKeyInfo */

/* The version of the handshake; the numbers are those of TLS. */
enum signing_version {
    SIGNING_TLS_1_2 = 0x0303,
    SIGNING_TLS_1_3 = 0x0304,
};

/* How to sign: SignatureScheme of TLS (RFC 8446 section 4.2.3). In TLS 1.2, ECDSA schemes name a hash but no curve. */
enum signing_scheme {
    SIGNING_NONE = 0,
    SIGNING_RSA_PKCS1_SHA256 = 0x0401, /* TLS 1.2 only, and the two below */
    SIGNING_RSA_PKCS1_SHA384 = 0x0501,
    SIGNING_RSA_PKCS1_SHA512 = 0x0601,
    SIGNING_ECDSA_SHA256 = 0x0403,
    SIGNING_ECDSA_SHA384 = 0x0503,
    SIGNING_ECDSA_SHA512 = 0x0603,
    SIGNING_RSA_PSS_SHA256 = 0x0804,
    SIGNING_RSA_PSS_SHA384 = 0x0805,
    SIGNING_RSA_PSS_SHA512 = 0x0806,
    SIGNING_ED25519 = 0x0807,
};

struct signing_question {
    uint32_t magic;
    uint16_t version;    /* enum signing_version */
    uint16_t scheme;     /* enum signing_scheme */
    uint64_t request_id; /* returned in the answer */
    uint8_t key_id[SIGNING_KEY_ID];
    uint32_t content_size;
    uint8_t content[SIGNING_CONTENT_MAX];
    uint8_t reserved[7]; /* 0 */
};

enum signing_result {
    SIGNING_DONE = 0,
    SIGNING_REFUSED = 1, /* a key that this worker does not serve, or a scheme that does not fit the key */
    SIGNING_FAILED = 2,  /* the computation failed */
};

struct signing_answer {
    uint32_t magic;
    uint32_t result;
    uint64_t request_id;
    uint32_t signature_size;
    uint32_t reserved; /* 0 */
    uint8_t signature[SIGNING_SIGNATURE_MAX];
};

/*
 * Makes a question with request_id 0. content: see above, `size` bytes. Returns false if that is not what a server of
 * that version signs with that scheme.
 */
bool signing_ask(struct signing_question *question, enum signing_version version, enum signing_scheme scheme,
                 const uint8_t key_id[static SIGNING_KEY_ID], const void *content, size_t size);

/* Is this a well-formed question: its size and magic, and a content of the form that TLS gives it? */
bool signing_question_is_valid(const struct signing_question *question, size_t size);

/* Does it come from another version of the program? Only for the log; the question is not valid in any case. */
bool signing_question_is_foreign(const struct signing_question *question, size_t size);

/* Writes the message to be hashed and signed for a valid question. Returns its length in bytes. */
size_t signing_message(const struct signing_question *question, uint8_t message[static SIGNING_MESSAGE_MAX]);

/* Does a signature with this scheme take much longer than the rest of a handshake? */
bool signing_is_slow(enum signing_scheme scheme);

/* Makes an answer, with a signature of at most SIGNING_SIGNATURE_MAX bytes only if the result is SIGNING_DONE. */
void signing_reply(struct signing_answer *answer, uint64_t request_id, enum signing_result result,
                   const void *signature, size_t size);

/* Is this a well-formed answer? */
bool signing_answer_is_valid(const struct signing_answer *answer, size_t size);
