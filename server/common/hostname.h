/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * International host names in their two spellings: `bücher.example`, as people write it, and `xn--bcher-kva.example`,
 * as DNS and most requests have it (IDNA, RFC 5890; Punycode, RFC 3492). Pure.
 *
 * Ignores case and composition of non-ASCII letters: owners write a folder's name in lower case and composed (NFC), as
 * names are registered in DNS.
 */

#include <stdbool.h>
#include <stddef.h>

#define HOSTNAME_MAX 253      /* bytes of a whole name (RFC 1035 section 2.3.4) */
#define HOSTNAME_LABEL_MAX 63 /* bytes of a label in ASCII */

/*
 * Writes the DNS spelling: each label with non-ASCII letters becomes an `xn--` label, the others stay. Returns false if
 * there is none: all labels are ASCII, or the name is too long, not UTF-8, or contains control characters.
 */
bool hostname_to_ascii(char ascii[static HOSTNAME_MAX + 1], const char *host);

/*
 * Writes the readable spelling, in UTF-8: decodes each label that begins with `xn--`, the others stay. Returns false if
 * there is none: no label begins with `xn--`, or one is not what an encoder would write or is longer than
 * HOSTNAME_LABEL_MAX bytes, or the result is longer than HOSTNAME_MAX bytes.
 */
bool hostname_to_unicode(char name[static HOSTNAME_MAX + 1], const char *host);

/*
 * Writes the canonical spelling of a host, which all code uses, so that folders, server names, identities and
 * certificates match: lower case, international labels in DNS spelling, IPv6 addresses in their shortest form (RFC
 * 5952). ASCII names are not checked further. Returns false if there is none: the name is empty, too long or not UTF-8,
 * or contains both control characters and non-ASCII letters.
 */
bool hostname_canonical(char canonical[static HOSTNAME_MAX + 1], const char *host);

/* Is this text an address of this machine itself: one of 127.0.0.0/8, or ::1? */
bool hostname_is_loopback(const char *address);
