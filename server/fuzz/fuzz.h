/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Functions that all fuzz targets use. A target is one file. libFuzzer calls LLVMFuzzerTestOneInput with generated
 * bytes, in memory that ends where they end. A target states with HOLDS what must be true.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Aborts if the claim is false, so that libFuzzer saves the input. */
#define HOLDS(claim)                                                                                                   \
    do {                                                                                                               \
        if (!(claim)) {                                                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #claim);                                 \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);

/*
 * Returns a copy that ends where the bytes end, so that the sanitizer detects reads past the end. The caller must free
 * it.
 */
static inline void *fuzz_copy(const void *bytes, size_t size) {
    void *copy = malloc(size > 0 ? size : 1);
    HOLDS(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

/* Returns the same as a string; NUL bytes end it early. The caller must free it. */
static inline char *fuzz_string(const void *bytes, size_t size) {
    char *copy = malloc(size + 1);
    HOLDS(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    copy[size] = '\0';
    return copy;
}

/* Returns the number of open descriptors, to detect leaks. */
static inline size_t fuzz_descriptors(void) {
    size_t count = 0;
    for (int descriptor = 0; descriptor < 256; descriptor++)
        count += fcntl(descriptor, F_GETFD) >= 0;
    return count;
}
