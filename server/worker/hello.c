/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hello.h"

#include <stdbool.h>
#include <string.h>

enum {
    RECORD_HANDSHAKE = 0x16,
    RECORD_HEADER = 5,
    MESSAGE_CLIENT_HELLO = 1,
    MESSAGE_HEADER = 4,
    EXTENSION_SERVER_NAME = 0,
    NAME_TYPE_HOST = 0,
};

/*
 * Returns the length of the whole message according to its header; more than HELLO_MAX while the header is incomplete.
 */
static size_t whole(const uint8_t *message, size_t gathered) {
    if (gathered < MESSAGE_HEADER)
        return SIZE_MAX;
    return MESSAGE_HEADER + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
}

/*
 * Reads the records and collects their payload, the handshake message, in `message` (HELLO_MAX bytes). gathered: how
 * many bytes of the message are there; the handshake judges what follows it. Returns false if a record is not a
 * handshake record.
 */
static bool gather(const uint8_t *bytes, size_t length, uint8_t *message, size_t *gathered) {
    size_t at = 0;
    *gathered = 0;
    while (at < length && *gathered < whole(message, *gathered)) {
        if (bytes[at] != RECORD_HANDSHAKE)
            return false;
        if (length - at >= 2 && bytes[at + 1] != 3)
            return false;
        if (length - at < RECORD_HEADER)
            return true;
        size_t size = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
        if (size == 0)
            return false; /* RFC 8446 5.1: no empty handshake fragments */
        at += RECORD_HEADER;
        size_t there = length - at < size ? length - at : size;
        if (*gathered + there > HELLO_MAX)
            there = HELLO_MAX - *gathered;
        memcpy(message + *gathered, bytes + at, there);
        *gathered += there;
        at += size;
    }
    if (*gathered > whole(message, *gathered))
        *gathered = whole(message, *gathered);
    return true;
}

enum hello_verdict hello_examine(const uint8_t *bytes, size_t length) {
    uint8_t message[HELLO_MAX];
    size_t gathered;
    if (!gather(bytes, length, message, &gathered))
        return HELLO_FOREIGN;
    if (gathered >= 1 && message[0] != MESSAGE_CLIENT_HELLO)
        return HELLO_FOREIGN;
    if (gathered < MESSAGE_HEADER)
        return length >= HELLO_MAX ? HELLO_FOREIGN : HELLO_INCOMPLETE;
    if (whole(message, gathered) > HELLO_MAX)
        return HELLO_FOREIGN;
    if (gathered == whole(message, gathered))
        return HELLO_COMPLETE;
    return length >= HELLO_MAX ? HELLO_FOREIGN : HELLO_INCOMPLETE;
}

size_t hello_join(uint8_t *bytes, size_t length) {
    size_t at = 0, to = RECORD_HEADER, records = 0;
    for (size_t gathered = 0; length - at >= RECORD_HEADER && bytes[at] == RECORD_HANDSHAKE && bytes[at + 1] == 3 &&
                              gathered < whole(bytes + RECORD_HEADER, gathered);
         gathered = to - RECORD_HEADER) {
        size_t size = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
        if (size == 0 || gathered + size > HELLO_MAX || length - at - RECORD_HEADER < size)
            break;
        memmove(bytes + to, bytes + at + RECORD_HEADER, size);
        at += RECORD_HEADER + size;
        to += size;
        records++;
    }
    if (records < 2)
        return length;
    size_t gathered = to - RECORD_HEADER, message = whole(bytes + RECORD_HEADER, gathered);
    message = message < gathered ? message : gathered;
    bytes[3] = (uint8_t)(message >> 8);
    bytes[4] = (uint8_t)message;
    if (message < gathered) { /* bytes after the message become a record of their own */
        size_t rest = gathered - message;
        uint8_t *next = bytes + RECORD_HEADER + message;
        memmove(next + RECORD_HEADER, next, rest);
        memcpy(next, bytes, RECORD_HEADER);
        next[3] = (uint8_t)(rest >> 8);
        next[4] = (uint8_t)rest;
        to += RECORD_HEADER;
    }
    memmove(bytes + to, bytes + at, length - at);
    return to + length - at;
}

/* The rest of a message that is being read. */
struct reader {
    const uint8_t *at;
    size_t left;
};

static bool take(struct reader *reader, size_t size, struct reader *part) {
    if (reader->left < size)
        return false;
    *part = (struct reader){reader->at, size};
    reader->at += size;
    reader->left -= size;
    return true;
}

static bool take_number(struct reader *reader, size_t bytes, size_t *number) {
    struct reader part;
    if (!take(reader, bytes, &part))
        return false;
    *number = 0;
    for (size_t i = 0; i < bytes; i++)
        *number = *number << 8 | part.at[i];
    return true;
}

/* A vector with its length first (RFC 8446 section 3.4). */
static bool take_vector(struct reader *reader, size_t length_bytes, struct reader *vector) {
    size_t size;
    return take_number(reader, length_bytes, &size) && take(reader, size, vector);
}

static bool find_extension(struct reader extensions, size_t wanted, struct reader *data) {
    size_t type;
    while (take_number(&extensions, 2, &type) && take_vector(&extensions, 2, data)) {
        if (type == wanted)
            return true;
    }
    return false;
}

static bool copy_name(struct reader host, char *name) {
    if (host.left > 1 && host.at[host.left - 1] == '.')
        host.left--;
    if (host.left == 0 || host.left > HELLO_NAME_MAX || host.at[host.left - 1] == '.')
        return false;
    for (size_t i = 0; i < host.left; i++) {
        uint8_t c = host.at[i];
        if (c <= ' ' || c >= 0x7f || c == '/')
            return false;
        name[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    name[host.left] = '\0';
    return true;
}

void hello_server_name(const uint8_t *bytes, size_t length, char name[static HELLO_NAME_MAX + 1]) {
    uint8_t message[HELLO_MAX];
    struct reader hello = {message, 0}, part, extensions, data, names, host;
    size_t type;

    name[0] = '\0';
    if (gather(bytes, length, message, &hello.left) &&
        take(&hello, MESSAGE_HEADER + 2 + 32, &part) /* header, legacy_version, random */
        && take_vector(&hello, 1, &part)             /* legacy_session_id */
        && take_vector(&hello, 2, &part)             /* cipher_suites */
        && take_vector(&hello, 1, &part)             /* legacy_compression_methods */
        && take_vector(&hello, 2, &extensions) && find_extension(extensions, EXTENSION_SERVER_NAME, &data) &&
        take_vector(&data, 2, &names) && take_number(&names, 1, &type) && type == NAME_TYPE_HOST &&
        take_vector(&names, 2, &host) && !copy_name(host, name))
        name[0] = '\0';
}
