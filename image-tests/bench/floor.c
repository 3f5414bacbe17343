/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Measures the server's part of the arithmetic in a full TLS 1.3 handshake, with the same library: the minimum cost for
 * any server that uses it. Prints one line of key=value, in microseconds of processor time, each the median of several
 * rounds.
 */

#include <wolfssl/options.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>

#include "common/random.h"
#include <wolfssl/wolfcrypt/wc_mlkem.h>

#define ROUNDS 9
#define TIMES 100

static WC_RNG random_source;

static void must(int result, const char *what) {
    if (result != 0) {
        fprintf(stderr, "floor: %s failed with %d\n", what, result);
        exit(1);
    }
}

/* ---- the operations of a handshake ---- */

static void exchange_x25519(void) {
    static curve25519_key peer;
    static bool ready;
    curve25519_key own;
    uint8_t shared[32];
    word32 size = sizeof shared;
    if (!ready) {
        must(wc_curve25519_init(&peer) || wc_curve25519_make_key(&random_source, 32, &peer), "X25519");
        ready = true;
    }
    must(wc_curve25519_init(&own), "X25519");
    must(wc_curve25519_make_key(&random_source, 32, &own), "an X25519 key");
    must(wc_curve25519_shared_secret_ex(&own, &peer, shared, &size, EC25519_LITTLE_ENDIAN), "an X25519 agreement");
    wc_curve25519_free(&own);
}

static void exchange_p256(void) {
    static ecc_key peer;
    static bool ready;
    ecc_key own;
    uint8_t shared[32];
    word32 size = sizeof shared;
    if (!ready) {
        must(wc_ecc_init(&peer) || wc_ecc_make_key_ex(&random_source, 32, &peer, ECC_SECP256R1), "P-256");
        ready = true;
    }
    must(wc_ecc_init(&own), "P-256");
    must(wc_ecc_make_key_ex(&random_source, 32, &own, ECC_SECP256R1), "a P-256 key");
    must(wc_ecc_shared_secret(&own, &peer, shared, &size), "a P-256 agreement");
    wc_ecc_free(&own);
}

/* Includes parsing the client's key, because it arrives in the handshake. */
static void encapsulate(void) {
    static uint8_t public[WC_ML_KEM_768_PUBLIC_KEY_SIZE];
    static bool ready;
    MlKemKey key;
    uint8_t cipher[WC_ML_KEM_768_CIPHER_TEXT_SIZE], secret[WC_ML_KEM_SS_SZ];
    must(wc_MlKemKey_Init(&key, WC_ML_KEM_768, NULL, INVALID_DEVID), "ML-KEM-768");
    if (!ready) {
        must(wc_MlKemKey_MakeKey(&key, &random_source), "an ML-KEM-768 key");
        must(wc_MlKemKey_EncodePublicKey(&key, public, sizeof public), "an ML-KEM-768 key");
        ready = true;
    } else {
        must(wc_MlKemKey_DecodePublicKey(&key, public, sizeof public), "an ML-KEM-768 key");
    }
    must(wc_MlKemKey_Encapsulate(&key, cipher, secret, &random_source), "an ML-KEM-768 encapsulation");
    wc_MlKemKey_Free(&key);
}

static void sign_p256(void) {
    static ecc_key key;
    static bool ready;
    static const uint8_t digest[32] = {1, 2, 3};
    uint8_t signature[80];
    word32 size = sizeof signature;
    if (!ready) {
        must(wc_ecc_init(&key) || wc_ecc_make_key_ex(&random_source, 32, &key, ECC_SECP256R1), "P-256");
        ready = true;
    }
    must(wc_ecc_sign_hash(digest, sizeof digest, signature, &size, &random_source, &key), "a P-256 signature");
}

/* ---- the clock ---- */

static double processor_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double measure(void (*work)(void)) {
    double rounds[ROUNDS];
    work();
    for (int round = 0; round < ROUNDS; round++) {
        double start = processor_time();
        for (int i = 0; i < TIMES; i++)
            work();
        rounds[round] = (processor_time() - start) / TIMES;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], compare);
    return rounds[ROUNDS / 2];
}

int main(void) {
    if (random_open() < 0)
        must(-1, "a pool of random bytes");
    must(wc_InitRng(&random_source), "the random source");
    double x25519 = measure(exchange_x25519), p256 = measure(exchange_p256), mlkem = measure(encapsulate),
           sign = measure(sign_p256);
    printf("x25519_us=%.1f p256_us=%.1f mlkem768_us=%.1f sign_us=%.1f handshake_us=%.1f handshake_p256_us=%.1f "
           "handshake_mlkem_us=%.1f\n",
           x25519, p256, mlkem, sign, x25519 + sign, p256 + sign, x25519 + mlkem + sign);
    wc_FreeRng(&random_source);
    return 0;
}
