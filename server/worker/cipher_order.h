/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Which cipher suites the server takes, and which it prefers. The choice is the server's (RFC 8446 section 4.1.2). */

#include <stdbool.h>

/* Does this processor have instructions for AES? */
bool cipher_order_has_aes(void);

/*
 * Returns the cipher suites, the preferred one first, as wolfSSL reads them: names with colons between them. has_aes:
 * whether the processor has instructions for AES. Without them, ChaCha20 comes first, because AES takes several times
 * as long. The string is static.
 */
const char *cipher_order(bool has_aes);
