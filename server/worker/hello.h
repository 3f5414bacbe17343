/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The first bytes of a connection, before a TLS library sees them. Pure.
 *
 * Nothing is allocated for a client until the whole ClientHello is there, and a client that does not speak TLS gets no
 * byte back.
 */

#include <stddef.h>
#include <stdint.h>

/* A ClientHello with a hybrid key share has about 1.5 kB; 8 kB leave room for long lists of tickets and padding. */
#define HELLO_MAX 8192
#define HELLO_NAME_MAX 255

enum hello_verdict {
    HELLO_INCOMPLETE, /* valid so far, more bytes are needed */
    HELLO_COMPLETE,   /* the whole ClientHello is there */
    HELLO_FOREIGN,    /* not TLS, not a ClientHello, or longer than HELLO_MAX */
};

/*
 * Examines the bytes that have arrived so far (TLS record layer, RFC 8446 section 5.1; ClientHello, section 4.1.2). A
 * ClientHello may be spread over several records.
 */
enum hello_verdict hello_examine(const uint8_t *bytes, size_t length);

/*
 * Joins the complete records of the ClientHello into one: the TLS library then need not handle a message whose header
 * is spread over records, and the stored bytes do not grow with their number. Returns the new length, which is never
 * larger.
 */
size_t hello_join(uint8_t *bytes, size_t length);

/*
 * Reads the server name (RFC 6066 section 3) from a complete ClientHello, in lower case, without a trailing dot. name:
 * "" if there is none, or if it is not a plausible host name (the handshake itself judges malformed hellos).
 */
void hello_server_name(const uint8_t *bytes, size_t length, char name[static HELLO_NAME_MAX + 1]);
