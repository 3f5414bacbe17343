/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The PROXY header: it ends at the same place however its bytes arrive, and its content can be written out and read
 * again.
 */
#include "fuzz.h"

#include <arpa/inet.h>

#include "worker/proxy_protocol.h"

static enum proxy_verdict parse(const uint8_t *bytes, size_t size, struct proxy_header *header) {
    uint8_t *copy = fuzz_copy(bytes, size);
    enum proxy_verdict verdict = proxy_parse(copy, size, header);
    free(copy);
    return verdict;
}

/* Compares addresses and ports. The length may differ, because the header may be spelled in another way. */
static bool is_same(const struct proxy_header *one, const struct proxy_header *other) {
    return one->has_addresses == other->has_addresses && one->is_ipv6 == other->is_ipv6 &&
           memcmp(one->source, other->source, 16) == 0 && memcmp(one->destination, other->destination, 16) == 0 &&
           one->source_port == other->source_port && one->destination_port == other->destination_port;
}

static void check_text(const struct proxy_header *header) {
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN], line[256];
    int family = header->is_ipv6 ? AF_INET6 : AF_INET;
    struct proxy_header again;
    HOLDS(inet_ntop(family, header->source, source, sizeof source) != NULL);
    HOLDS(inet_ntop(family, header->destination, destination, sizeof destination) != NULL);
    int length = snprintf(line, sizeof line, "PROXY TCP%c %s %s %u %u\r\n", header->is_ipv6 ? '6' : '4', source,
                          destination, header->source_port, header->destination_port);
    HOLDS(parse((const uint8_t *)line, (size_t)length, &again) == PROXY_VALID);
    HOLDS(again.length == (size_t)length && is_same(header, &again));
}

static void check_binary(const struct proxy_header *header) {
    uint8_t bytes[16 + 36] = "\r\n\r\n\0\r\nQUIT\n\x21";
    size_t size = header->is_ipv6 ? 16 : 4;
    struct proxy_header again;
    bytes[13] = header->is_ipv6 ? 0x21 : 0x11;
    bytes[15] = (uint8_t)(2 * size + 4);
    memcpy(bytes + 16, header->source, size);
    memcpy(bytes + 16 + size, header->destination, size);
    for (size_t i = 0; i < 2; i++) {
        uint16_t port = htons(i == 0 ? header->source_port : header->destination_port);
        memcpy(bytes + 16 + 2 * size + 2 * i, &port, sizeof port);
    }
    HOLDS(parse(bytes, 16 + 2 * size + 4, &again) == PROXY_VALID);
    HOLDS(is_same(header, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct proxy_header header, early;
    enum proxy_verdict verdict = proxy_parse(bytes, size, &header);
    for (size_t length = 0; length < size; length += 1 + size / 64) {
        enum proxy_verdict piece = parse(bytes, length, &early);
        if (verdict == PROXY_VALID && length >= header.length)
            HOLDS(piece == PROXY_VALID && early.length == header.length && is_same(&header, &early));
        else
            HOLDS(piece == PROXY_INCOMPLETE || (piece == PROXY_INVALID && verdict == PROXY_INVALID));
    }
    if (verdict == PROXY_INCOMPLETE) /* a client that keeps sending is not kept forever */
        HOLDS(size < (size > 0 && bytes[0] == 'P' ? PROXY_HEADER_V1_MAX : PROXY_HEADER_MAX));
    if (verdict != PROXY_VALID)
        return 0;
    HOLDS(header.length > 0 && header.length <= size && header.length <= PROXY_HEADER_MAX);
    HOLDS(bytes[0] != 'P' || (header.length <= PROXY_HEADER_V1_MAX && bytes[header.length - 1] == '\n'));
    if (header.has_addresses) {
        check_text(&header);
        check_binary(&header);
    } else {
        static const uint8_t nothing[16];
        HOLDS(memcmp(header.source, nothing, 16) == 0 && header.source_port == 0);
    }
    return 0;
}
