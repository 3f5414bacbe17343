/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "client_address.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const uint8_t four_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool is_four(const struct client_address *address) {
    return memcmp(address->bytes, four_prefix, sizeof four_prefix) == 0;
}

struct client_address client_address_of_bytes(const uint8_t *bytes, int is_ipv6) {
    struct client_address address;
    if (is_ipv6) {
        memcpy(address.bytes, bytes, 16);
    } else {
        memcpy(address.bytes, four_prefix, sizeof four_prefix);
        memcpy(address.bytes + sizeof four_prefix, bytes, 4);
    }
    return address;
}

struct client_address client_address_of_socket(const struct sockaddr *socket_address) {
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    switch (socket_address->sa_family) {
    case AF_INET:
        memcpy(&four, socket_address, sizeof four);
        return client_address_of_bytes((const uint8_t *)&four.sin_addr, 0);
    case AF_INET6:
        memcpy(&six, socket_address, sizeof six);
        return client_address_of_bytes(six.sin6_addr.s6_addr, 1);
    default:
        return (struct client_address){0};
    }
}

static struct client_address cut(const struct client_address *address, size_t bytes) {
    struct client_address part = *address;
    memset(part.bytes + bytes, 0, sizeof part.bytes - bytes);
    return part;
}

/*
 * IPv6 addresses that contain an IPv4 address: behind a translator (64:ff9b::/96, RFC 6052), 6to4 (2002::/16, RFC 3056)
 * and Teredo (2001::/32, RFC 4380, where it is inverted). All clients behind a translator share a /64, and each 6to4
 * client has a /48; so the address inside counts.
 */
static struct client_address unwrap(const struct client_address *address) {
    static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b}, six_to_four[2] = {0x20, 0x02},
                         teredo[4] = {0x20, 0x01, 0x00, 0x00};
    const uint8_t *bytes = address->bytes;
    if (memcmp(bytes, translated, sizeof translated) == 0)
        return client_address_of_bytes(bytes + 12, 0);
    if (memcmp(bytes, six_to_four, sizeof six_to_four) == 0)
        return client_address_of_bytes(bytes + 2, 0);
    if (memcmp(bytes, teredo, sizeof teredo) == 0) {
        const uint8_t four[4] = {bytes[12] ^ 0xff, bytes[13] ^ 0xff, bytes[14] ^ 0xff, bytes[15] ^ 0xff};
        return client_address_of_bytes(four, 0);
    }
    return *address;
}

/*
 * Providers give an IPv6 client a /64, a /56 or a /48. A wider prefix may be many clients or one, so its limit is
 * higher than that of one client, and lower than that of all its parts together.
 */
size_t client_address_groups(const struct client_address *address,
                             struct address_group groups[static CLIENT_ADDRESS_GROUPS_MAX]) {
    static const struct {
        uint8_t bits, times;
    } four[] = {{32, 1}, {24, 4}}, six[] = {{64, 1}, {56, 4}, {48, 8}};
    struct client_address client = unwrap(address);
    bool is_ipv4 = is_four(&client);
    size_t count = is_ipv4 ? sizeof four / sizeof four[0] : sizeof six / sizeof six[0];
    for (size_t i = 0; i < count; i++) {
        size_t bytes = is_ipv4 ? sizeof four_prefix + four[i].bits / 8u : six[i].bits / 8u;
        groups[i] = (struct address_group){cut(&client, bytes), is_ipv4 ? four[i].bits : six[i].bits,
                                           is_ipv4 ? four[i].times : six[i].times};
    }
    return count;
}

bool client_address_is_loopback(const struct client_address *address) {
    static const uint8_t six[16] = {[15] = 1};
    return is_four(address) ? address->bytes[12] == 127 : memcmp(address->bytes, six, sizeof six) == 0;
}

const char *client_address_show(char shown[static CLIENT_ADDRESS_SHOWN_MAX], const struct client_address *address,
                                enum settings_addresses how, const uint8_t key[static KEYED_HASH_KEY]) {
    struct client_address part = *address;
    shown[0] = '\0';
    switch (how) {
    case LOG_ADDRESSES_OFF:
        return shown;
    case LOG_ADDRESSES_HASHED:
        snprintf(shown, CLIENT_ADDRESS_SHOWN_MAX, "%016" PRIx64, keyed_hash(key, address, sizeof *address));
        return shown;
    case LOG_ADDRESSES_PARTIAL:
        part = is_four(address) ? cut(address, 15) : cut(address, 6);
        break;
    case LOG_ADDRESSES_FULL:
        break;
    }
    if (is_four(&part))
        inet_ntop(AF_INET, part.bytes + sizeof four_prefix, shown, CLIENT_ADDRESS_SHOWN_MAX);
    else
        inet_ntop(AF_INET6, part.bytes, shown, CLIENT_ADDRESS_SHOWN_MAX);
    return shown;
}
