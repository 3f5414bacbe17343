/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "worker/cipher_order.h"

/* Splits an order into names. Returns their number. */
static size_t split(const char *order, char names[][48], size_t most) {
    size_t count = 0;
    for (; *order && count < most; count++) {
        size_t length = strcspn(order, ":");
        snprintf(names[count], 48, "%.*s", (int)length, order);
        order += length + (order[length] == ':');
    }
    return count;
}

/* The first suite of each kind: TLS 1.3, and TLS 1.2 with either type of identity. */
Test(cipher_order, the_first_of_each_kind_follows_the_processor) {
    static const char *const kinds[] = {"TLS13-", "ECDHE-ECDSA-", "ECDHE-RSA-"};
    for (int has_aes = 0; has_aes < 2; has_aes++) {
        char names[16][48];
        size_t count = split(cipher_order(has_aes), names, 16);
        cr_assert_eq(count, 9);
        for (size_t kind = 0; kind < 3; kind++) {
            const char *const order[] = {has_aes ? "AES128-GCM-SHA256" : "CHACHA20-POLY1305",
                                         has_aes ? "CHACHA20-POLY1305" : "AES128-GCM-SHA256", "AES256-GCM-SHA384"};
            for (size_t i = 0; i < 3; i++) {
                const char *name = names[kind * 3 + i];
                size_t length = strlen(kinds[kind]);
                cr_expect_eq(strncmp(name, kinds[kind], length), 0, "%s", name);
                cr_expect_eq(strncmp(name + length, order[i], strlen(order[i])), 0, "%s: expected %s", name, order[i]);
            }
        }
    }
}

/* wolfSSL silently skips names that it does not know. */
Test(cipher_order, tls_knows_all_of_them) {
    for (int has_aes = 0; has_aes < 2; has_aes++) {
        WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLS_server_method());
        char names[16][48];
        size_t count = split(cipher_order(has_aes), names, 16);
        cr_assert_eq(wolfSSL_CTX_set_cipher_list(context, cipher_order(has_aes)), WOLFSSL_SUCCESS);
        for (size_t i = 0; i < count; i++)
            cr_expect_eq(wolfSSL_CTX_set_cipher_list(context, names[i]), WOLFSSL_SUCCESS, "%s", names[i]);
        wolfSSL_CTX_free(context);
    }
}

/* Compares with what the kernel reports about the processor. */
Test(cipher_order, instructions_for_aes_are_those_that_the_kernel_names) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[8192];
    bool named = false, found = false;
    cr_assert(file);
    while (!found && fgets(line, sizeof line, file)) {
        found = strncmp(line, "flags", 5) == 0 || strncmp(line, "Features", 8) == 0;
        if (found)
            named = strstr(line, " aes ") || strstr(line, " aes\n");
    }
    fclose(file);
    cr_assert(found);
    cr_expect_eq(cipher_order_has_aes(), named);
}
