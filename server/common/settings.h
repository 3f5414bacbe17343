/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The settings file: `key = value` lines, `#` begins a comment line. Pure: text to settings. Each key is optional and
 * may appear only once; the defaults suit most capsules.
 *
 *   advertised-ports = 1965 7070     ports that requests may name beside the listener's own (behind NAT or a proxy)
 *   min-tls = 1.2                    the oldest TLS version that is spoken: 1.2 or 1.3
 *   language = en                    the language of text/gemini pages; several with commas: en, fr
 *   log-addresses = off              of clients, in the log: off, partial, hashed (salt anew at each start), full
 *   log-requests = all               in the log: all, or errors
 *   proxy-ports = 7070               listeners where a PROXY protocol header comes before TLS
 *   max-connections = 650            at once, of all workers together
 *   max-connections-per-address = 32 at once, of one IPv4 address or IPv6 /64; wider prefixes have a multiple of it
 *   max-connections-from-loopback = 325  at once, from this machine itself
 *   max-handshakes-per-minute = 600  of one IPv4 address or IPv6 /64; wider prefixes have a multiple; 0: no limit
 *   max-requests-per-minute = 300    likewise
 *   handshake-timeout = 10s          from the connection's start to the end of the TLS handshake; ms, s or min
 *   request-timeout = 10s            until the request is there
 *   reply-timeout = 20s              without progress of the response: its client must take 512 bytes per second
 *   stop-delay = 0s                  how long to go on accepting connections when told to stop
 *   workers = 2                      processes that serve; default: as many as it may use processors (processors.h)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

#define SETTINGS_FILE_MAX 65536 /* bytes */
#define SETTINGS_PORTS_MAX 16
#define SETTINGS_WORKERS_MAX 64
#define SETTINGS_LANGUAGE_MAX 127 /* bytes */

enum settings_tls { SETTINGS_TLS_1_2, SETTINGS_TLS_1_3 };

enum settings_addresses { LOG_ADDRESSES_OFF, LOG_ADDRESSES_PARTIAL, LOG_ADDRESSES_HASHED, LOG_ADDRESSES_FULL };

enum settings_requests { LOG_REQUESTS_ALL, LOG_REQUESTS_ERRORS };

struct settings_ports {
    uint16_t ports[SETTINGS_PORTS_MAX];
    size_t count;
};

struct settings {
    struct settings_ports advertised_ports;
    enum settings_tls min_tls;
    char language[SETTINGS_LANGUAGE_MAX + 1]; /* tags separated by commas, without spaces; "" for none */
    enum settings_addresses log_addresses;
    enum settings_requests log_requests;
    struct settings_ports proxy_ports;
    uint32_t max_connections;
    uint32_t max_connections_per_address;
    uint32_t max_connections_from_loopback;
    uint32_t max_handshakes_per_minute;
    uint32_t max_requests_per_minute;
    uint32_t handshake_timeout; /* milliseconds, like the following */
    uint32_t request_timeout;
    uint32_t reply_timeout;
    uint32_t stop_delay;
    uint32_t workers; /* 0: not set */
};

/* Sets the defaults, the values in the list above (ports, language and workers: none). */
void settings_default(struct settings *settings);

/*
 * Reads a settings file over the defaults. text: `length` bytes, need not end with NUL, not kept. Returns the number of
 * faults (each has been reported), or -EFBIG above SETTINGS_FILE_MAX. After a fault, do not use the settings: half a
 * file is not what its owner meant.
 */
int settings_parse(struct settings *settings, const char *text, size_t length, text_fault *fault, void *context);

/* Is this port in the list? */
bool settings_has_port(const struct settings_ports *ports, uint16_t port);
