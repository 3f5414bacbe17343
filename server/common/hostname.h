/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * International host names in their two spellings: `bücher.example`, as people write it, and `xn--bcher-kva.example`,
 * as it stands in the DNS and in most requests (IDNA, RFC 5890; Punycode, RFC 3492). Pure.
 *
 * Case and composition of letters beyond ASCII are not looked at: a folder's name is written in lower case and composed
 * (NFC), as the names of the DNS are registered.
 */

#include <stdbool.h>
#include <stddef.h>

#define HOSTNAME_MAX 253      /* bytes of a whole name */
#define HOSTNAME_LABEL_MAX 63 /* bytes of a label in ASCII */

/*
 * Writes the spelling of the DNS: each label with letters beyond ASCII becomes an `xn--` one, the others stay.
 * Returns false where there is none: no label is beyond ASCII, the name is too long, no UTF-8, or holds controls.
 */
bool hostname_to_ascii(char ascii[static HOSTNAME_MAX + 1], const char *host);

/*
 * Writes the spelling of people, in UTF-8: each label that begins with `xn--` is decoded, the others stay.
 * Returns false where there is none: no label begins so, or one is not what an encoder would have written or is
 * longer than HOSTNAME_LABEL_MAX bytes, or the name is longer than HOSTNAME_MAX bytes then.
 */
bool hostname_to_unicode(char name[static HOSTNAME_MAX + 1], const char *host);

/*
 * Writes the one spelling by which everything inside knows a host, so that folders, server names, identities and
 * certificates meet: lower case, international labels as the DNS has them, IPv6 addresses in their shortest form
 * (RFC 5952). Names that are in ASCII are not judged otherwise.
 * Returns false where there is none: an empty or too long name, no UTF-8, or controls beside letters beyond ASCII.
 */
bool hostname_canonical(char canonical[static HOSTNAME_MAX + 1], const char *host);
