/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What a TLS 1.2 server signs, for tests: randoms and key exchange parameters in their wire format. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/signing.h"

#define GROUP_P256 23u
#define GROUP_X25519 29u

struct handshake {
    uint8_t content[SIGNING_CONTENT_MAX];
    size_t size;
};

static inline struct handshake handshake_of(unsigned group) {
    /* The base point of P-256 (FIPS 186-4 appendix D.1.2.3), which is on the curve. */
    static const uint8_t point[65] = {0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5,
                                      0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4,
                                      0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
                                      0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33,
                                      0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};
    struct handshake handshake = {.size = 68 + (group == GROUP_P256 ? 65u : 32u)};
    memset(handshake.content, 0xc1, 32); /* the client's random */
    memset(handshake.content + 32, 0x5e, 24);
    memcpy(handshake.content + 56, "DOWNGRD\x01", 8);
    handshake.content[64] = 3;
    handshake.content[66] = (uint8_t)group;
    handshake.content[67] = (uint8_t)(handshake.size - 68);
    memset(handshake.content + 68, 9, 32);
    if (group == GROUP_P256)
        memcpy(handshake.content + 68, point, sizeof point);
    return handshake;
}
