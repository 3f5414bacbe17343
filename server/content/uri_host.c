/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "uri_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/hostname.h"

static bool is_ascii(const char *text) {
    while (*text && !(*text & 0x80))
        text++;
    return *text == '\0';
}

bool uri_host_write(char authority[static URI_HOST_SIZE], const char *name) {
    char line[REQUEST_LINE_MAX + 1], ascii[HOSTNAME_MAX + 1];
    unsigned char address[sizeof(struct in6_addr)];
    struct request request;
    const char *host = name;
    if (strlen(name) > HOSTNAME_MAX)
        return false;
    if (!is_ascii(name)) {
        if (!hostname_to_ascii(ascii, name))
            return false;
        host = ascii;
    }
    bool is_six = inet_pton(AF_INET6, host, address) == 1;
    if (!is_six && strpbrk(host, "/?#@: %"))
        return false;
    snprintf(authority, URI_HOST_SIZE, is_six ? "[%s]" : "%s", host);
    int length = snprintf(line, sizeof line, "gemini://%s/\r\n", authority);
    return request_parse(line, (size_t)length, &request) == REQUEST_VALID && strcmp(request.host, host) == 0;
}
