/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The command `fingerprint`: what readers can compare with what their client shows. It reads only the certificate in an
 * identity file, which comes first in files that Vitrine made, and not the key.
 */

#include <stdio.h>

#include "protocol/certificate.h"

#define FINGERPRINT_PEM_MAX 16384

/*
 * Examines the certificate at the beginning of a file. folder: a descriptor. Returns NULL on success; the caller then
 * disposes of facts. Otherwise returns what is wrong.
 */
const char *fingerprint_examine(int folder, const char *file, struct certificate_facts *facts);

/*
 * Prints five lines: the host (with a remark, or ""), when the certificate ends, SHA-256 of the certificate and of its
 * public key (SubjectPublicKeyInfo), and the TLSA record 3 1 1 (RFC 6698) for port 1965.
 */
void fingerprint_print(FILE *output, const char *host, const char *drop, const struct certificate_facts *facts);

/*
 * Prints this for each host, and for the next identity of a host if one is announced. hosts: ends with NULL; an entry
 * with a slash is a PEM file; if empty, all identities in the state folder. Returns the exit status: 0; EX_NOINPUT if
 * the folder or a file is missing, EX_DATAERR if one cannot be used, both after logging a sentence; EX_IOERR.
 */
int fingerprint(const char *state, char *const *hosts);
