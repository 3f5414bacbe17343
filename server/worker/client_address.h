/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Where a connection comes from: an IP address, and what of it may be known. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/keyed_hash.h"
#include "common/settings.h"

/* In network order; an IPv4 address as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2). All zero: not known. */
struct client_address {
    uint8_t bytes[16];
};

/* Of a socket address of any family; not known for another than IPv4 and IPv6. */
struct client_address client_address_of_socket(const struct sockaddr *socket_address);

/* Of four bytes of IPv4 or sixteen of IPv6, as the PROXY protocol gives them. */
struct client_address client_address_of_bytes(const uint8_t *bytes, int is_ipv6);

/* Addresses that begin with the same bits. They are hashed, so there must be no padding. */
struct address_group {
    struct client_address part;
    uint8_t bits;  /* of an IPv4 or IPv6 address */
    uint8_t times; /* how many times as much as one client it may take */
};

#define CLIENT_ADDRESS_GROUPS_MAX 3

/*
 * The groups that an address lies in, the narrowest first, which stands for one client: IPv4 /32 and /24, IPv6 /64, /56
 * and /48. An IPv6 address that stands for one of IPv4 (NAT64, 6to4, Teredo) lies in the groups of that one.
 * Returns how many there are.
 */
size_t client_address_groups(const struct client_address *address,
                             struct address_group groups[static CLIENT_ADDRESS_GROUPS_MAX]);

/* Is it this machine itself (127.0.0.0/8, ::1)? */
bool client_address_is_loopback(const struct client_address *address);

#define CLIENT_ADDRESS_SHOWN_MAX 64

/*
 * What the log may say of it: "" (off); with its lower part as zeroes, IPv4 from 24 bits on, IPv6 from 48 (partial); 16
 * hexadecimal digits that stay the same as long as the key does (hashed); the whole (full).
 * Returns shown.
 */
const char *client_address_show(char shown[static CLIENT_ADDRESS_SHOWN_MAX], const struct client_address *address,
                                enum settings_addresses how, const uint8_t key[static KEYED_HASH_KEY]);
