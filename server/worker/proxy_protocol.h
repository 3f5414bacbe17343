/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The header that a load balancer sends first to pass on the client's address: PROXY protocol, versions 1 (text) and 2
 * (binary), as HAProxy's doc/proxy-protocol.txt describes them. Pure.
 *
 * Only for listeners that are configured for it: anyone who reaches such a listener can claim any address.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_HEADER_V1_MAX 107 /* bytes, CRLF included (section 2.1) */
#define PROXY_HEADER_MAX 2064   /* bytes; version 2 with 2 kB of addresses and extensions; longer headers are refused */

enum proxy_verdict {
    PROXY_INCOMPLETE, /* valid so far, more bytes are needed */
    PROXY_VALID,      /* the header is complete */
    PROXY_INVALID,    /* not such a header: close the connection without a response */
};

/* The two ends of the connection that the proxy accepted. */
struct proxy_header {
    size_t length;      /* bytes of the header; the client's own bytes follow it */
    bool has_addresses; /* false: the proxy speaks for itself (health checks) or does not know */
    bool is_ipv6;
    uint8_t source[16], destination[16]; /* network order; IPv4 in the first four bytes */
    uint16_t source_port, destination_port;
};

/*
 * Looks for a header at the start of `bytes`. length: how many have arrived so far. After PROXY_VALID, header->length
 * is at most PROXY_HEADER_MAX and at most length.
 */
enum proxy_verdict proxy_parse(const uint8_t *bytes, size_t length, struct proxy_header *header);
