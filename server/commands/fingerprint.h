/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The verb `fingerprint`: what clients can compare with what their client shows. Of an identity's file it reads the
 * certificate, which comes first in files that were made here, and not on to the key.
 */

#include <stdio.h>

#include "protocol/certificate.h"

#define FINGERPRINT_PEM_MAX 16384

/*
 * Examines the certificate at the beginning of a file. folder: a descriptor. Returns NULL, or what is wrong; else facts
 * are to be disposed of.
 */
const char *fingerprint_examine(int folder, const char *file, struct certificate_facts *facts);

/*
 * Prints five lines: whose it is (with a remark, or ""), when its certificate ends, SHA-256 of the certificate and of
 * its public key (SubjectPublicKeyInfo), and the TLSA record 3 1 1 (RFC 6698) for port 1965.
 */
void fingerprint_print(FILE *output, const char *host, const char *drop, const struct certificate_facts *facts);

/*
 * Prints this for each host, and for the next identity of a host where one is announced. hosts: ends with NULL; one
 * with a slash is a PEM file; empty: all that the state folder holds. Returns the exit status: 0; EX_NOINPUT when the
 * folder or a file is missing, EX_DATAERR when one cannot be used, both after logging a sentence; EX_IOERR.
 */
int fingerprint(const char *state, char *const *hosts);
