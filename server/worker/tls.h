/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The only face to wolfSSL for a worker. Works on memory: bytes that arrived go into a channel, bytes to send come out
 * of it, and whoever owns the socket moves them.
 *
 * TLS 1.3 and 1.2 (the protocol asks for 1.2 at least); forward secrecy and AEAD only; X25519MLKEM768, X25519, P-256;
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
#define TLS_RECORDS_AT_ONCE 2
#define TLS_OUTPUT_MAX (TLS_RECORDS_AT_ONCE * (TLS_RECORD_MAX + TLS_RECORD_OVERHEAD) + 2048)

/*
 * What a session reads from and writes to. One for a worker, lent to whichever connection is being served.
 */
struct tls_channel {
    const uint8_t *input; /* bytes from the network that no session has taken yet */
    size_t input_size;
    size_t records; /* that a session began to take; set it to 0 to count anew */
    size_t output_size;
    uint8_t output[TLS_OUTPUT_MAX]; /* records that wait to be sent */
};

enum tls_progress {
    TLS_DONE,
    TLS_WANTS_INPUT,     /* all input was taken; go on when more is there */
    TLS_WANTS_SIGNATURE, /* the key process was asked; go on with tls_session_sign */
    TLS_ENDED,           /* the peer sent close_notify */
    TLS_FAILED,          /* the session is over; an alert may lie in the channel's output */
};

struct tls;
struct tls_session;

/*
 * Sets up TLS for these certificates; signatures are asked for at the signing client, no private key is ever here.
 * certificates, channel and signing client must outlive the result. Returns NULL after logging one sentence.
 * fallback: the host whose identity answers unknown server names; and clients without one, unless it is another than
 * `default` and a certificate is of an address. only_1_3: TLS 1.2 is not spoken.
 */
struct tls *tls_open(const struct certificates *certificates, const char *fallback, bool only_1_3,
                     struct tls_channel *channel, struct signing_client *signing_client);

/* Gives everything back. All sessions must be gone. */
void tls_close(struct tls *tls);

/*
 * Begins a session with the identity for this server name ("" for none). NULL when memory is short, or where the host
 * is barred (certificate.h): then an alert lies in the channel's output. owner: who is to be told when a signature
 * arrives (signing_client_receive). origin: where the client comes from (signing_client_ask).
 */
struct tls_session *tls_session_begin(struct tls *tls, const char *server_name, void *owner,
                                      const struct signing_client_origin *origin);

/* Is this a host that has no identity which can be used? host: in any spelling, lower case. */
bool tls_bars(const struct tls *tls, const char *host);

/*
 * The signature that the session waits for has come (size 0: it was refused). Goes on with the handshake, the signature
 * being valid during this call only.
 */
enum tls_progress tls_session_sign(struct tls_session *session, const uint8_t *signature, size_t size);

/* Frees a session. NULL is allowed. */
void tls_session_end(struct tls_session *session);

/* Goes on with the handshake. */
enum tls_progress tls_handshake(struct tls_session *session);

/* Reads decrypted bytes: up to `size`; how many came in *got. */
enum tls_progress tls_read(struct tls_session *session, void *bytes, size_t size, size_t *got);

/*
 * Puts plain text into the channel's output. At most TLS_RECORDS_AT_ONCE * TLS_RECORD_MAX bytes while the output is
 * empty always fit.
 */
enum tls_progress tls_write(struct tls_session *session, const void *bytes, size_t size);

/* Puts close_notify into the channel's output (RFC 8446 section 6.1). */
void tls_close_notify(struct tls_session *session);

/* Who the client is, by the certificate that they showed in the handshake. */
const struct client *tls_client_of(const struct tls_session *session);

/* The negotiated version for the log, "1.3" or "1.2"; "-" before the handshake is over. */
const char *tls_version(const struct tls_session *session);

/* The linked library's version, e.g. "5.9.2". */
const char *tls_library_version(void);
