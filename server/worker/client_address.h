/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Where a connection comes from: an IP address, its groups, and what the log may show of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/keyed_hash.h"
#include "common/settings.h"

/* In network order; an IPv4 address as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2). All zero: unknown. */
struct client_address {
    uint8_t bytes[16];
};

/* Returns the address of a socket address; unknown if it is neither IPv4 nor IPv6. */
struct client_address client_address_of_socket(const struct sockaddr *socket_address);

/* Returns the address from four bytes of IPv4 or sixteen of IPv6, as in the PROXY protocol. */
struct client_address client_address_of_bytes(const uint8_t *bytes, int is_ipv6);

/* Addresses that begin with the same bits. The struct is hashed, so it must have no padding. */
struct address_group {
    struct client_address part;
    uint8_t bits;  /* of an IPv4 or IPv6 address */
    uint8_t times; /* how many times the limit of one client the group has */
};

#define CLIENT_ADDRESS_GROUPS_MAX 3

/*
 * Finds the groups of an address, the narrowest first, which counts as one client: IPv4 /32 and /24, IPv6 /64, /56 and
 * /48. An IPv6 address that contains an IPv4 address (NAT64, 6to4, Teredo) is in the groups of that IPv4 address.
 * Returns how many there are.
 */
size_t client_address_groups(const struct client_address *address,
                             struct address_group groups[static CLIENT_ADDRESS_GROUPS_MAX]);

/* Is it this machine itself (127.0.0.0/8, ::1)? */
bool client_address_is_loopback(const struct client_address *address);

#define CLIENT_ADDRESS_SHOWN_MAX 64

/*
 * Writes what the log may show of an address: "" (off); the address with its lower part zeroed, IPv4 after 24 bits,
 * IPv6 after 48 (partial); 16 hexadecimal digits that depend on the key (hashed); the whole address (full). Returns
 * shown.
 */
const char *client_address_show(char shown[static CLIENT_ADDRESS_SHOWN_MAX], const struct client_address *address,
                                enum settings_addresses how, const uint8_t key[static KEYED_HASH_KEY]);
