/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* `vitrine probe`: does the server answer? One TLS 1.3 handshake and one request, as a client makes them. */

#define PROBE_ADDRESS_DEFAULT "127.0.0.1:1965"

/*
 * Asks the server at `address` (ADDR:PORT or [ADDR]:PORT) for the first page of a host. Its certificate is not
 * verified, but must be there. Returns the exit status: 0 if the response has a status from 10 to 39; 1 if it has
 * another one; EX_USAGE for an invalid address or host; EX_UNAVAILABLE if nothing answers within 8 seconds;
 * EX_PROTOCOL if what answers is no Gemini server; EX_OSERR. Unless it is 0, one sentence has been logged.
 */
int probe(const char *address, const char *host);
