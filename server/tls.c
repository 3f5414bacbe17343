/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/version.h>

#include "log.h"

/* One context for an identity: a session takes over its certificate and key without parsing anything again. */
struct context {
    const char *host;
    WOLFSSL_CTX *handle;
};

struct tls {
    struct context *contexts; /* sorted by host, as the identities are */
    size_t count;
    size_t fallback;
    struct tls_channel *channel;
};

/*
 * AES-128 first: it costs a handshake 20 us less than AES-256 with SHA-384 and nobody breaks either.
 * ChaCha20 is for clients without AES in hardware.
 */
static const char ciphers[] = "TLS13-AES128-GCM-SHA256:TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES256-GCM-SHA384:"
                              "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
                              "ECDHE-ECDSA-AES256-GCM-SHA384:"
                              "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
                              "ECDHE-RSA-AES256-GCM-SHA384";

/* ---- moving bytes ---- */

static int receive(WOLFSSL *session, char *bytes, int size, void *context) {
    struct tls_channel *channel = context;
    (void)session;
    if (channel->input_size == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    size_t taken = channel->input_size < (size_t)size ? channel->input_size : (size_t)size;
    memcpy(bytes, channel->input, taken);
    channel->input += taken;
    channel->input_size -= taken;
    return (int)taken;
}

static int transmit(WOLFSSL *session, char *bytes, int size, void *context) {
    struct tls_channel *channel = context;
    (void)session;
    if (sizeof channel->output - channel->output_size < (size_t)size)
        return WOLFSSL_CBIO_ERR_GENERAL; /* the bounds in tls.h make this impossible */
    memcpy(channel->output + channel->output_size, bytes, (size_t)size);
    channel->output_size += (size_t)size;
    return size;
}

/* ---- contexts ---- */

static WOLFSSL_CTX *context_begin(void) {
    /* wolfSSL's group numbers are enumerators, so the preprocessor cannot tell whether they exist. */
    int groups[] = {WOLFSSL_X25519MLKEM768, WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1};
    WOLFSSL_CTX *handle = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (!handle)
        return NULL;
    wolfSSL_CTX_SetIORecv(handle, receive);
    wolfSSL_CTX_SetIOSend(handle, transmit);
    wolfSSL_CTX_set_verify(handle, WOLFSSL_VERIFY_NONE, NULL);
    if (wolfSSL_CTX_SetMinVersion(handle, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_set_cipher_list(handle, ciphers) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_set_groups(handle, groups, sizeof groups / sizeof *groups) == WOLFSSL_SUCCESS)
        return handle;
    wolfSSL_CTX_free(handle);
    return NULL;
}

static WOLFSSL_CTX *context_open(const struct identity *identity) {
    WOLFSSL_CTX *handle = context_begin();
    if (!handle) {
        log_line(LOG_LEVEL_ERROR, "TLS cannot be set up: out of memory or wolfSSL was built without a needed part");
        return NULL;
    }
    if (wolfSSL_CTX_use_certificate_chain_buffer(handle, (const unsigned char *)identity->certificate,
                                                 (long)identity->certificate_size) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_use_PrivateKey_buffer(handle, (const unsigned char *)identity->key, (long)identity->key_size,
                                          WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_check_private_key(handle) == WOLFSSL_SUCCESS)
        return handle;
    log_line(LOG_LEVEL_ERROR,
             "identity %s: the certificate and the private key cannot be used or do not belong together; put %s.pem "
             "back from a backup",
             identity->host, identity->host);
    wolfSSL_CTX_free(handle);
    return NULL;
}

struct tls *tls_open(const struct identities *identities, const char *fallback, struct tls_channel *channel) {
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls || wolfSSL_Init() != WOLFSSL_SUCCESS) {
        free(tls);
        return NULL;
    }
    tls->channel = channel;
    tls->contexts = calloc(identities->count, sizeof *tls->contexts);
    if (!tls->contexts)
        goto failed;
    for (size_t i = 0; i < identities->count; i++) {
        const struct identity *identity = &identities->list[i];
        WOLFSSL_CTX *handle = context_open(identity);
        if (!handle)
            goto failed;
        tls->contexts[tls->count++] = (struct context){identity->host, handle};
        if (strcmp(identity->host, fallback) == 0)
            tls->fallback = i;
    }
    return tls;
failed:
    tls_close(tls);
    return NULL;
}

void tls_close(struct tls *tls) {
    if (!tls)
        return;
    for (size_t i = 0; i < tls->count; i++)
        wolfSSL_CTX_free(tls->contexts[i].handle);
    free(tls->contexts);
    free(tls);
    wolfSSL_Cleanup();
}

/* ---- sessions ---- */

/* A session is wolfSSL's own object; the name only keeps its type out of the other files. */
static WOLFSSL *handle_of(const struct tls_session *session) {
    return (WOLFSSL *)(uintptr_t)session;
}

static int compare_host(const void *name, const void *context) {
    return strcmp(name, ((const struct context *)context)->host);
}

static const struct context *context_for(const struct tls *tls, const char *server_name) {
    const struct context *found = bsearch(server_name, tls->contexts, tls->count, sizeof *found, compare_host);
    return found ? found : &tls->contexts[tls->fallback];
}

struct tls_session *tls_session_begin(struct tls *tls, const char *server_name) {
    WOLFSSL *handle = wolfSSL_new(context_for(tls, server_name)->handle);
    if (handle) {
        wolfSSL_SetIOReadCtx(handle, tls->channel);
        wolfSSL_SetIOWriteCtx(handle, tls->channel);
    }
    return (struct tls_session *)handle;
}

void tls_session_end(struct tls_session *session) {
    if (session)
        wolfSSL_free(handle_of(session));
}

/* Tells what a call that did not succeed means. */
static enum tls_progress progress(struct tls_session *session, int result) {
    switch (wolfSSL_get_error(handle_of(session), result)) {
    case WOLFSSL_ERROR_WANT_READ:
        return TLS_WANTS_INPUT;
    case WOLFSSL_ERROR_ZERO_RETURN:
        return TLS_ENDED;
    default:
        return TLS_FAILED;
    }
}

enum tls_progress tls_handshake(struct tls_session *session) {
    int result = wolfSSL_accept(handle_of(session));
    return result == WOLFSSL_SUCCESS ? TLS_DONE : progress(session, result);
}

enum tls_progress tls_read(struct tls_session *session, void *bytes, size_t size, size_t *got) {
    int result = wolfSSL_read(handle_of(session), bytes, (int)size);
    *got = result > 0 ? (size_t)result : 0;
    return result > 0 ? TLS_DONE : progress(session, result);
}

enum tls_progress tls_write(struct tls_session *session, const void *bytes, size_t size) {
    int result = wolfSSL_write(handle_of(session), bytes, (int)size);
    return result == (int)size ? TLS_DONE : TLS_FAILED;
}

void tls_close_notify(struct tls_session *session) {
    wolfSSL_shutdown(handle_of(session));
}

const char *tls_version(const struct tls_session *session) {
    if (!wolfSSL_is_init_finished(handle_of(session)))
        return "-";
    return wolfSSL_version(handle_of(session)) == TLS1_3_VERSION ? "1.3" : "1.2";
}

const char *tls_library_version(void) {
    return LIBWOLFSSL_VERSION_STRING;
}
