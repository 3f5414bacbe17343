/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "proxy_protocol.h"

#include <arpa/inet.h>
#include <string.h>

/* ---- Version 1 (section 2.1) ---- */

/* The words of the line; exactly one space ends each, and the end of the line ends the last one. */
struct words {
    const char *at;
    const char *end;
};

/* Reads one word into `word`. Returns false if there is none or it is longer than size - 1 bytes. */
static bool take_word(struct words *words, char *word, size_t size) {
    const char *space = memchr(words->at, ' ', (size_t)(words->end - words->at));
    const char *word_end = space != NULL ? space : words->end;
    size_t length = (size_t)(word_end - words->at);
    if (length == 0 || length >= size)
        return false;
    memcpy(word, words->at, length);
    word[length] = '\0';
    words->at = space != NULL ? space + 1 : words->end;
    return space == NULL || words->at < words->end; /* after a final space, a word is missing */
}

static bool take_address(struct words *words, int family, uint8_t *address) {
    char word[INET6_ADDRSTRLEN];
    return take_word(words, word, sizeof(word)) && inet_pton(family, word, address) == 1;
}

/* Decimal, 0 to 65535, without leading zeros. */
static bool take_port(struct words *words, uint16_t *port) {
    char word[sizeof("65535")];
    uint32_t value = 0;
    if (!take_word(words, word, sizeof(word)) || (word[0] == '0' && word[1] != '\0'))
        return false;
    for (const char *at = word; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return false;
        value = value * 10 + (uint32_t)(*at - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* "PROXY" SP ( "UNKNOWN" *anything / ( "TCP4" / "TCP6" ) SP source SP destination SP port SP port ) */
static bool parse_line(const char *line, size_t length, struct proxy_header *header) {
    struct words words = {.at = line, .end = line + length};
    char word[sizeof("UNKNOWN")];
    if (!take_word(&words, word, sizeof(word)) || strcmp(word, "PROXY") != 0)
        return false;
    static const char unknown[] = "UNKNOWN";
    const size_t rest = (size_t)(words.end - words.at);
    if (rest >= sizeof(unknown) - 1 && memcmp(words.at, unknown, sizeof(unknown) - 1) == 0 &&
        (rest == sizeof(unknown) - 1 || words.at[sizeof(unknown) - 1] == ' '))
        return true;

    if (!take_word(&words, word, sizeof(word)))
        return false;
    header->is_ipv6 = strcmp(word, "TCP6") == 0;
    if (!header->is_ipv6 && strcmp(word, "TCP4") != 0)
        return false;
    int family = header->is_ipv6 ? AF_INET6 : AF_INET;
    header->has_addresses = take_address(&words, family, header->source) &&
                            take_address(&words, family, header->destination) &&
                            take_port(&words, &header->source_port) && words.at < words.end &&
                            take_port(&words, &header->destination_port) && words.at == words.end;
    return header->has_addresses;
}

static enum proxy_verdict parse_text(const uint8_t *bytes, size_t length, struct proxy_header *header) {
    const size_t visible = length < PROXY_HEADER_V1_MAX ? length : PROXY_HEADER_V1_MAX;
    const uint8_t *line_feed = memchr(bytes, '\n', visible);
    if (line_feed == NULL) {
        const uint8_t *carriage_return = memchr(bytes, '\r', visible);
        if (length >= PROXY_HEADER_V1_MAX || (carriage_return != NULL && carriage_return + 1 < bytes + visible))
            return PROXY_INVALID;
        return PROXY_INCOMPLETE;
    }
    size_t line_length = (size_t)(line_feed - bytes);
    if (line_length == 0 || bytes[line_length - 1] != '\r' || memchr(bytes, '\r', line_length - 1) != NULL ||
        !parse_line((const char *)bytes, line_length - 1, header))
        return PROXY_INVALID;
    header->length = line_length + 1;
    return PROXY_VALID;
}

/* ---- Version 2 (section 2.2) ---- */

enum {
    BINARY_FIXED = 16, /* signature, version and command, family and protocol, length of what follows */
    COMMAND_LOCAL = 0x20,
    COMMAND_PROXY = 0x21,
    STREAM_IPV4 = 0x11,
    STREAM_IPV6 = 0x21,
    STREAM_UNIX = 0x31,
    IPV4_SIZE = 2 * 4 + 4,
    IPV6_SIZE = 2 * 16 + 4,
    UNIX_SIZE = 2 * 108,
};

static uint16_t read_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void read_addresses(const uint8_t *bytes, size_t size, struct proxy_header *header) {
    memcpy(header->source, bytes, size);
    memcpy(header->destination, bytes + size, size);
    header->source_port = read_u16(bytes + 2 * size);
    header->destination_port = read_u16(bytes + 2 * size + 2);
    header->has_addresses = true;
}

static enum proxy_verdict parse_binary(const uint8_t *bytes, size_t length, struct proxy_header *header) {
    if (length > 12 && bytes[12] != COMMAND_LOCAL && bytes[12] != COMMAND_PROXY)
        return PROXY_INVALID;
    if (length < BINARY_FIXED)
        return PROXY_INCOMPLETE;
    size_t following = read_u16(bytes + 14);
    if (following > PROXY_HEADER_MAX - BINARY_FIXED)
        return PROXY_INVALID;
    if (length < BINARY_FIXED + following)
        return PROXY_INCOMPLETE;

    const uint8_t *addresses = bytes + BINARY_FIXED;
    header->length = BINARY_FIXED + following;
    if (bytes[12] == COMMAND_LOCAL)
        return PROXY_VALID; /* whatever the rest says */
    switch (bytes[13]) {
    case 0x00: /* UNSPEC */
        return PROXY_VALID;
    case STREAM_IPV4:
        if (following < IPV4_SIZE)
            return PROXY_INVALID;
        read_addresses(addresses, 4, header);
        return PROXY_VALID;
    case STREAM_IPV6:
        if (following < IPV6_SIZE)
            return PROXY_INVALID;
        header->is_ipv6 = true;
        read_addresses(addresses, 16, header);
        return PROXY_VALID;
    case STREAM_UNIX: /* a client on the proxy's own machine */
        return following < UNIX_SIZE ? PROXY_INVALID : PROXY_VALID;
    default: /* datagrams carry no TLS; other families do not exist */
        return PROXY_INVALID;
    }
}

enum proxy_verdict proxy_parse(const uint8_t *bytes, size_t length, struct proxy_header *header) {
    static const char text[] = "PROXY ";
    static const char binary[] = "\r\n\r\n\0\r\nQUIT\n";
    const size_t text_size = sizeof(text) - 1, binary_size = sizeof(binary) - 1;
    *header = (struct proxy_header){0};
    if (memcmp(bytes, text, length < text_size ? length : text_size) == 0)
        return length < text_size ? PROXY_INCOMPLETE : parse_text(bytes, length, header);
    if (memcmp(bytes, binary, length < binary_size ? length : binary_size) == 0)
        return length < binary_size ? PROXY_INCOMPLETE : parse_binary(bytes, length, header);
    return PROXY_INVALID;
}
