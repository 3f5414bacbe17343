/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "worker/proxy_protocol.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* Parses a copy of exactly this size, so that the sanitizer detects reads past the end. */
static enum proxy_verdict parse(const void *bytes, size_t length, struct proxy_header *header) {
    uint8_t *copy = malloc(length > 0 ? length : 1);
    cr_assert_not_null(copy);
    memcpy(copy, bytes, length);
    memset(header, 0xa5, sizeof(*header));
    enum proxy_verdict verdict = proxy_parse(copy, length, header);
    free(copy);
    return verdict;
}

static void expect_addresses(const struct proxy_header *header, const char *source, uint16_t source_port,
                             const char *destination, uint16_t destination_port) {
    char text[INET6_ADDRSTRLEN];
    int family = header->is_ipv6 ? AF_INET6 : AF_INET;
    cr_expect(header->has_addresses);
    cr_expect_str_eq(inet_ntop(family, header->source, text, sizeof(text)), source, "%s", text);
    cr_expect_str_eq(inet_ntop(family, header->destination, text, sizeof(text)), destination, "%s", text);
    cr_expect_eq(header->source_port, source_port);
    cr_expect_eq(header->destination_port, destination_port);
}

Test(proxy_protocol, text_with_addresses) {
    static const struct {
        const char *line, *source;
        uint16_t source_port;
        const char *destination;
        uint16_t destination_port;
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 1965\r\n", "192.0.2.1", 56324, "198.51.100.2", 1965},
        {"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0", 0, "255.255.255.255", 65535},
        {"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1", 1, "::1", 2},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct proxy_header header;
        char bytes[256];
        size_t length = strlen(cases[i].line);
        for (size_t part = 0; part < length; part++)
            cr_expect_eq(parse(cases[i].line, part, &header), PROXY_INCOMPLETE, "%s cut to %zu", cases[i].line, part);
        strcpy(bytes, cases[i].line);
        strcat(bytes, "\x16\x03\x01");
        cr_expect_eq(parse(bytes, length + 3, &header), PROXY_VALID, "%s", cases[i].line);
        cr_expect_eq(header.length, length);
        expect_addresses(&header, cases[i].source, cases[i].source_port, cases[i].destination,
                         cases[i].destination_port);
    }
}

Test(proxy_protocol, text_without_addresses) {
    static const char *const lines[] = {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 anything at all\r\n"};
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct proxy_header header;
        cr_expect_eq(parse(lines[i], strlen(lines[i]), &header), PROXY_VALID, "%s", lines[i]);
        cr_expect_eq(header.length, strlen(lines[i]));
        cr_expect_not(header.has_addresses);
    }
}

Test(proxy_protocol, text_that_is_invalid) {
    static const char *const lines[] = {
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        "proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY UNKNOWX\r\n",
        "PROXY UNKNOW\r\n",
        "PROXY UNKNOWN a\rb\r\n",
        "PROXY UNKNOWN a\r\r\n",
        "PROXY UNKNOWN\n",
        "PROXYX",
        "PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2\r\n",
        "PROXY TCP4 192.0.2.1\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 22\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rx",
        "PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
        "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1x 2\r\n",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct proxy_header header;
        cr_expect_eq(parse(lines[i], strlen(lines[i]), &header), PROXY_INVALID, "%s", lines[i]);
    }
}

Test(proxy_protocol, text_is_bounded) {
    char line[256] = "PROXY UNKNOWN ";
    struct proxy_header header;
    memset(line + strlen(line), 'x', 200);
    cr_expect_eq(parse(line, PROXY_HEADER_V1_MAX - 1, &header), PROXY_INCOMPLETE);
    cr_expect_eq(parse(line, PROXY_HEADER_V1_MAX, &header), PROXY_INVALID);
    memcpy(line + PROXY_HEADER_V1_MAX - 2, "\r\n", 2);
    cr_expect_eq(parse(line, PROXY_HEADER_V1_MAX, &header), PROXY_VALID);
    cr_expect_eq(header.length, PROXY_HEADER_V1_MAX);
    memset(line + PROXY_HEADER_V1_MAX - 2, 'x', 2);
    memcpy(line + PROXY_HEADER_V1_MAX - 1, "\r\n", 2);
    cr_expect_eq(parse(line, PROXY_HEADER_V1_MAX + 1, &header), PROXY_INVALID);
}

#define IPV4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x07\xad"
#define IPV6                                                                                                           \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                                                       \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x02"

Test(proxy_protocol, binary_with_addresses) {
    static const char ipv4[] = SIGNATURE "\x21\x11\x00\x0c" IPV4;
    static const char ipv6[] = SIGNATURE "\x21\x21\x00\x24" IPV6;
    static const char extended[] = SIGNATURE "\x21\x11\x00\x10" IPV4 "\x04\x00\x01x";
    struct proxy_header header;
    for (size_t part = 0; part < sizeof(ipv6) - 1; part++)
        cr_expect_eq(parse(ipv6, part, &header), PROXY_INCOMPLETE, "%zu", part);
    cr_expect_eq(parse(ipv4, sizeof(ipv4), &header), PROXY_VALID);
    cr_expect_eq(header.length, sizeof(ipv4) - 1);
    expect_addresses(&header, "192.0.2.1", 56324, "198.51.100.2", 1965);
    cr_expect_eq(parse(ipv6, sizeof(ipv6) - 1, &header), PROXY_VALID);
    cr_expect_eq(header.length, sizeof(ipv6) - 1);
    expect_addresses(&header, "2001:db8::1", 1, "::1", 2);
    cr_expect_eq(parse(extended, sizeof(extended) - 1, &header), PROXY_VALID);
    cr_expect_eq(header.length, sizeof(extended) - 1);
    expect_addresses(&header, "192.0.2.1", 56324, "198.51.100.2", 1965);
    cr_expect_eq(parse(extended, sizeof(extended) - 2, &header), PROXY_INCOMPLETE);
}

Test(proxy_protocol, binary_verdicts) {
    static const struct {
        const char *behind; /* the bytes after the signature */
        size_t length;
        enum proxy_verdict verdict;
    } cases[] = {
        {"\x20\x00\x00\x00", 4, PROXY_VALID},       /* LOCAL */
        {"\x20\x11\x00\x0c" IPV4, 16, PROXY_VALID}, /* LOCAL ignores addresses */
        {"\x21\x00\x00\x00", 4, PROXY_VALID},       /* UNSPEC */
        {"\x21\x00\x00\x02xx", 6, PROXY_VALID},
        {"\x22\x11\x00\x0c" IPV4, 16, PROXY_INVALID}, /* no such command */
        {"\x11\x11\x00\x0c" IPV4, 16, PROXY_INVALID}, /* no such version */
        {"\x31", 1, PROXY_INVALID},
        {"\x21\x12\x00\x0c" IPV4, 16, PROXY_INVALID}, /* datagram */
        {"\x21\x41\x00\x0c" IPV4, 16, PROXY_INVALID}, /* no such family */
        {"\x21\x11\x00\x0b" IPV4, 16, PROXY_INVALID}, /* too short for its addresses */
        {"\x21\x21\x00\x23" IPV6, 40, PROXY_INVALID},
        {"\x21\x31\x00\x0c" IPV4, 16, PROXY_INVALID},
        {"\x21\x11\x08\x00", 4, PROXY_INCOMPLETE}, /* 2048 bytes follow */
        {"\x21\x11\x08\x01", 4, PROXY_INVALID},    /* 2049 */
        {"\x21\x11\xff\xff", 4, PROXY_INVALID},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char bytes[128] = SIGNATURE;
        struct proxy_header header;
        memcpy(bytes + 12, cases[i].behind, cases[i].length);
        cr_expect_eq(parse(bytes, 12 + cases[i].length, &header), cases[i].verdict, "case %zu", i);
        if (cases[i].verdict == PROXY_VALID)
            cr_expect_not(header.has_addresses);
    }
    char unix_addresses[12 + 4 + 216] = SIGNATURE "\x21\x31\x00\xd8";
    struct proxy_header header;
    cr_expect_eq(parse(unix_addresses, sizeof(unix_addresses), &header), PROXY_VALID);
    cr_expect_not(header.has_addresses);
    cr_expect_eq(header.length, sizeof(unix_addresses));
    unix_addresses[15]--;
    cr_expect_eq(parse(unix_addresses, sizeof(unix_addresses), &header), PROXY_INVALID, "a byte too short");

    static const char broken[] = "\r\n\r\n\0\r\nQUIX\n\x21\x11\x00\x0c" IPV4;
    cr_expect_eq(parse(broken, sizeof(broken) - 1, &header), PROXY_INVALID);
    cr_expect_eq(parse("\r\n\r\r", 4, &header), PROXY_INVALID);
    static const char unended[] = "\r\n\r\n\0\r\nQUIT\r\x21\x11\x00\x0c" IPV4;
    cr_expect_eq(parse(unended, sizeof(unended) - 1, &header), PROXY_INVALID);
}
