/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A capsule's name as it stands in an address. Pure. */

#include <stdbool.h>

#include "request.h"

#define URI_HOST_SIZE (REQUEST_HOST_MAX + 3) /* a host, in brackets where it needs them, and a NUL */

/*
 * Writes it: international names in the spelling of the DNS, IPv6 addresses in brackets (RFC 3986, section 3.2.2).
 * Returns false where no request leads to a capsule of this name: a request's host is in lower case, an address in its
 * shortest spelling (request.h).
 */
bool uri_host_write(char authority[static URI_HOST_SIZE], const char *name);
