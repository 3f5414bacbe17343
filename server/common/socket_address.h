/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The address of a TCP socket, as the command line has it. Pure. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

union socket_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

/*
 * Reads "ADDR:PORT" or "[ADDR]:PORT"; ADDR is a literal, and PORT from 1 to 65535. *size: of the address. Returns false
 * if it is anything else.
 */
bool socket_address_parse(const char *text, union socket_address *address, socklen_t *size);

/* Returns its port. */
uint16_t socket_address_port(const union socket_address *address);
