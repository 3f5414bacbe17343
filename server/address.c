/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "address.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const uint8_t four_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool is_four(const struct address *address) {
    return memcmp(address->bytes, four_prefix, sizeof four_prefix) == 0;
}

struct address address_of_bytes(const uint8_t *bytes, int is_ipv6) {
    struct address address;
    if (is_ipv6) {
        memcpy(address.bytes, bytes, 16);
    } else {
        memcpy(address.bytes, four_prefix, sizeof four_prefix);
        memcpy(address.bytes + sizeof four_prefix, bytes, 4);
    }
    return address;
}

struct address address_of_socket(const struct sockaddr *socket_address) {
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    switch (socket_address->sa_family) {
    case AF_INET:
        memcpy(&four, socket_address, sizeof four);
        return address_of_bytes((const uint8_t *)&four.sin_addr, 0);
    case AF_INET6:
        memcpy(&six, socket_address, sizeof six);
        return address_of_bytes(six.sin6_addr.s6_addr, 1);
    default:
        return (struct address){0};
    }
}

static struct address cut(const struct address *address, size_t bytes) {
    struct address part = *address;
    memset(part.bytes + bytes, 0, sizeof part.bytes - bytes);
    return part;
}

struct address address_subscriber(const struct address *address) {
    return is_four(address) ? *address : cut(address, 8);
}

bool address_is_loopback(const struct address *address) {
    static const uint8_t six[16] = {[15] = 1};
    return is_four(address) ? address->bytes[12] == 127 : memcmp(address->bytes, six, sizeof six) == 0;
}

const char *address_show(char shown[static ADDRESS_SHOWN_MAX], const struct address *address,
                         enum settings_addresses how, const uint8_t key[static KEYED_HASH_KEY]) {
    struct address part = *address;
    shown[0] = '\0';
    switch (how) {
    case LOG_ADDRESSES_OFF:
        return shown;
    case LOG_ADDRESSES_HASHED:
        snprintf(shown, ADDRESS_SHOWN_MAX, "%016" PRIx64, keyed_hash(key, address, sizeof *address));
        return shown;
    case LOG_ADDRESSES_PARTIAL:
        part = is_four(address) ? cut(address, 15) : cut(address, 6);
        break;
    case LOG_ADDRESSES_FULL:
        break;
    }
    if (is_four(&part))
        inet_ntop(AF_INET, part.bytes + sizeof four_prefix, shown, ADDRESS_SHOWN_MAX);
    else
        inet_ntop(AF_INET6, part.bytes, shown, ADDRESS_SHOWN_MAX);
    return shown;
}
