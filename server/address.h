/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Where a connection comes from: an IP address, and what of it may be known. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "keyed_hash.h"
#include "settings.h"

/* In network order; an IPv4 address as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2). All zero: not known. */
struct address {
    uint8_t bytes[16];
};

/* Of a socket address of any family; not known for another than IPv4 and IPv6. */
struct address address_of_socket(const struct sockaddr *socket_address);

/* Of four bytes of IPv4 or sixteen of IPv6, as the PROXY protocol gives them. */
struct address address_of_bytes(const uint8_t *bytes, int is_ipv6);

/*
 * The part that stands for one subscriber: the whole of an IPv4 address, the first 64 bits of an IPv6 one.
 */
struct address address_subscriber(const struct address *address);

/* Is it this machine itself (127.0.0.0/8, ::1)? */
bool address_is_loopback(const struct address *address);

#define ADDRESS_SHOWN_MAX 64

/*
 * What the log may say of it: "" (off); with its lower part as zeroes, IPv4 from 24 bits on, IPv6 from 48 (partial); 16
 * hexadecimal digits that stay the same as long as the key does (hashed); the whole (full).
 * Returns shown.
 */
const char *address_show(char shown[static ADDRESS_SHOWN_MAX], const struct address *address,
                         enum settings_addresses how, const uint8_t key[static KEYED_HASH_KEY]);
