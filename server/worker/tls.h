/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The worker's only interface to wolfSSL's TLS (protocol/ and common/keyed_hash.c use its ciphers and hashes). It works
 * in memory: received bytes go into a channel, bytes to send come out of it, and the owner of the socket moves them.
 *
 * TLS 1.3 and 1.2 (the protocol requires at least 1.2); forward secrecy and AEAD only; X25519MLKEM768, X25519, P-256;
 * no tickets, no early data, no renegotiation, no compression.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content/client.h"
#include "protocol/certificate.h"
#include "signing_client.h"

#define TLS_RECORD_MAX 16384 /* bytes of plain text in one record (RFC 8446 section 5.1) */
#define TLS_RECORD_OVERHEAD 64
#define TLS_OTHER_MAX 2048 /* bytes of other records: alerts, new keys, a flight of the handshake */
#define TLS_RECORDS_AT_ONCE 2
#define TLS_OUTPUT_MAX (TLS_RECORDS_AT_ONCE * (TLS_RECORD_MAX + TLS_RECORD_OVERHEAD) + TLS_OTHER_MAX)

/* The input and output of a session. Each worker has one, for the connection that it serves at the moment. */
struct tls_channel {
    const uint8_t *input; /* received bytes that no session has read yet */
    size_t input_size;
    size_t records; /* records that a session began to read; set it to 0 to count again */
    size_t output_size;
    uint8_t output[TLS_OUTPUT_MAX]; /* records to be sent */
};

enum tls_progress {
    TLS_DONE,
    TLS_WANTS_INPUT,     /* all input was read; continue when there is more */
    TLS_WANTS_SIGNATURE, /* the key process was asked; continue with tls_session_sign */
    TLS_ENDED,           /* the peer sent close_notify */
    TLS_FAILED,          /* the session is over; the channel's output may contain an alert */
};

struct tls;
struct tls_session;

/*
 * Makes wolfSSL use the block cache (block_cache.h). Call it before any other function of wolfSSL, in every process:
 * freeing a block that came from another allocator would end the process.
 */
void tls_take_memory(void);

/*
 * Sets up TLS for these certificates; signatures come from the signing client, and no private key is ever here.
 * certificates, channel and signing client must outlive the result. Returns NULL after logging one sentence. fallback:
 * the host whose identity clients with an unknown server name get; also clients without one, unless it is not `default`
 * and a certificate is for an address. only_1_3: refuse TLS 1.2. It fails unless tls_take_memory was called.
 */
struct tls *tls_open(const struct certificates *certificates, const char *fallback, bool only_1_3,
                     struct tls_channel *channel, struct signing_client *signing_client);

/* Frees everything. All sessions must have ended. */
void tls_close(struct tls *tls);

/*
 * Begins a session with the identity for this server name ("" for none). Returns NULL if there is no memory, if the
 * certificate cannot be used (logged; the key process has examined it before), or if the host is barred
 * (certificate.h): then the channel's output contains an alert. owner: who gets the signature (signing_client_receive).
 * origin: where the client comes from (signing_client_ask).
 */
struct tls_session *tls_session_begin(struct tls *tls, const char *server_name, void *owner,
                                      const struct signing_client_origin *origin);

/* Does this host lack a usable identity? host: in any spelling, lower case. */
bool tls_bars(const struct tls *tls, const char *host);

/*
 * Continues the handshake with the signature that the session waits for (size 0: the key process refused). The
 * signature need be valid only during this call.
 */
enum tls_progress tls_session_sign(struct tls_session *session, const uint8_t *signature, size_t size);

/* Frees a session. NULL is allowed. */
void tls_session_end(struct tls_session *session);

/* Continues the handshake. */
enum tls_progress tls_handshake(struct tls_session *session);

/* Reads up to `size` decrypted bytes; *got: how many. */
enum tls_progress tls_read(struct tls_session *session, void *bytes, size_t size, size_t *got);

/*
 * Begins a record in the channel's output. Returns where its plain text belongs, or NULL if the session is over. *room:
 * how many bytes of it fit; TLS_RECORD_MAX for the first TLS_RECORDS_AT_ONCE records after the output was empty, 0 if
 * it is full. Until tls_record_end, nothing else may be called for this session.
 */
uint8_t *tls_record_begin(struct tls_session *session, size_t *room);

/*
 * Ends the record: encrypts the plain text where it is. size: how many bytes it has; at least one, at most the room.
 */
enum tls_progress tls_record_end(struct tls_session *session, size_t size);

/* Puts close_notify into the channel's output (RFC 8446 section 6.1). */
void tls_close_notify(struct tls_session *session);

/* Returns the client, as its certificate in the handshake identifies it. */
const struct client *tls_client_of(const struct tls_session *session);

/* Returns the negotiated version for the log, "1.3" or "1.2"; "-" before the handshake is complete. */
const char *tls_version(const struct tls_session *session);

/* Returns the version of the linked library, e.g. "5.9.2". */
const char *tls_library_version(void);
