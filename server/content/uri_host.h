/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The name of a capsule as the host of a URI. Pure. */

#include <stdbool.h>

#include "request.h"

#define URI_HOST_SIZE (HOSTNAME_MAX + 3) /* a host, in brackets if needed, and a NUL */

/*
 * Writes the name: international names in DNS spelling, IPv6 addresses in brackets (RFC 3986, section 3.2.2). Returns
 * false if no request can lead to a capsule with this name: hosts in requests are in lower case, addresses in their
 * shortest form (request.h).
 */
bool uri_host_write(char authority[static URI_HOST_SIZE], const char *name);
