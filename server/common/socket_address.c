/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "socket_address.h"

#include <arpa/inet.h>
#include <string.h>

#include "lines.h"

bool socket_address_parse(const char *text, union socket_address *address, socklen_t *size) {
    char host[INET6_ADDRSTRLEN];
    const char *start = text, *end = strrchr(text, ':');
    uint16_t port;
    if (!end)
        return false;
    const char *number = end + 1;
    if (strlen(number) > 5 || !lines_port(&number, &port) || *number != '\0')
        return false;
    bool six = text[0] == '[';
    if (six) {
        start++;
        if (end - start < 1 || end[-1] != ']')
            return false;
        end--;
    }
    size_t length = (size_t)(end - start);
    if (length >= sizeof host)
        return false;
    memcpy(host, start, length);
    host[length] = '\0';

    memset(address, 0, sizeof *address);
    if (six) {
        address->six.sin6_family = AF_INET6;
        address->six.sin6_port = htons(port);
        *size = sizeof address->six;
        return inet_pton(AF_INET6, host, &address->six.sin6_addr) == 1;
    }
    address->four.sin_family = AF_INET;
    address->four.sin_port = htons(port);
    *size = sizeof address->four;
    return inet_pton(AF_INET, host, &address->four.sin_addr) == 1;
}

uint16_t socket_address_port(const union socket_address *address) {
    return ntohs(address->any.sa_family == AF_INET6 ? address->six.sin6_port : address->four.sin_port);
}
