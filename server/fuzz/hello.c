/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ClientHello: a verdict does not change as more bytes arrive, and the server name is one that can be looked up. */
#include "fuzz.h"

#include "worker/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char name[HELLO_NAME_MAX + 1], early_name[HELLO_NAME_MAX + 1];
    enum hello_verdict verdict = hello_examine(bytes, size), last = HELLO_INCOMPLETE;
    size_t complete = 0;
    for (size_t length = 0; length < size; length += 1 + size / 64) {
        uint8_t *piece = fuzz_copy(bytes, length);
        enum hello_verdict now = hello_examine(piece, length);
        HOLDS(last == HELLO_INCOMPLETE || now == last);
        HOLDS(now == HELLO_INCOMPLETE || now == verdict);
        if (now == HELLO_COMPLETE && complete == 0) {
            complete = length;
            hello_server_name(piece, length, early_name);
        }
        last = now;
        free(piece);
    }
    HOLDS(verdict != HELLO_INCOMPLETE || size < HELLO_MAX);
    /* Even if the ClientHello is incomplete, it reads only existing bytes. */
    hello_server_name(bytes, size, name);
    HOLDS(memchr(name, '\0', sizeof name) != NULL);
    for (const char *at = name; *at != '\0'; at++)
        HOLDS(*at > ' ' && *at < 0x7f && *at != '/' && !(*at >= 'A' && *at <= 'Z'));
    HOLDS(name[0] == '\0' || name[strlen(name) - 1] != '.');
    if (verdict == HELLO_COMPLETE) {
        HOLDS(size >= 9 && bytes[0] == 0x16);
        if (complete > 0)
            HOLDS(strcmp(name, early_name) == 0);
    }
    /* Joined into one record, it is the same message and not longer. */
    uint8_t *joined = fuzz_copy(bytes, size);
    size_t length = hello_join(joined, size);
    HOLDS(length <= size && hello_join(joined, length) <= length);
    if (verdict == HELLO_COMPLETE) {
        HOLDS(hello_examine(joined, length) == HELLO_COMPLETE);
        hello_server_name(joined, length, early_name);
        HOLDS(strcmp(name, early_name) == 0);
    }
    free(joined);
    return 0;
}
