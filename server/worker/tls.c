/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/version.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "block_cache.h"
#include "cipher_order.h"
#include "common/hostname.h"
#include "common/log.h"

/*
 * Contexts are made at the first visit of a host, so that a session uses its certificate without parsing it again. A
 * thousand take 2.5 MB; a capsule that nobody visits takes nothing. Sessions keep theirs when it makes room.
 */
#define CONTEXTS_MAX 1024

struct context {
    WOLFSSL_CTX *handle;
    size_t index;  /* of its certificate */
    uint64_t used; /* when, counted in sessions */
};

struct tls {
    const struct certificates *certificates;
    uint16_t *context_of; /* for each certificate: 0, or 1 and the index of its context */
    struct context contexts[CONTEXTS_MAX];
    size_t context_count;
    uint64_t sessions;
    size_t fallback, nameless; /* certificates for an unknown server name, and for none */
    bool only_1_3;
    struct tls_channel *channel;
    struct signing_client *signing_client;
};

struct tls_session {
    WOLFSSL *handle;
    struct tls *tls;
    const struct certificate *certificate;
    struct signing_client_origin origin;
    struct signing_client_request request; /* while it waits for a signature */
    const uint8_t *signature;              /* the answer, once it has arrived */
    size_t signature_size;
    bool refused;
    struct client client;
};

/* ---- moving bytes ---- */

#define RECORD_HEADER_SIZE 5 /* RFC 8446 section 5.1 */

static int receive(WOLFSSL *session, char *bytes, int size, void *context) {
    struct tls_channel *channel = context;
    (void)session;
    if (channel->input_size == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    channel->records += size == RECORD_HEADER_SIZE; /* wolfSSL reads each header separately */
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
        return WOLFSSL_CBIO_ERR_GENERAL; /* a client that requests new keys dozens of times at once is disconnected here
                                          */
    uint8_t *end = channel->output + channel->output_size;
    if ((uint8_t *)bytes != end) /* else a record that was encrypted in its place */
        memcpy(end, bytes, (size_t)size);
    channel->output_size += (size_t)size;
    return size;
}

/* ---- signatures from the key process ---- */

/* Returns the TLS number of a scheme, from the kind of callback and the hash that wolfSSL has chosen. */
enum kind { KIND_ECDSA, KIND_ED25519, KIND_RSA_PKCS1, KIND_RSA_PSS };

static enum signing_scheme scheme_of(enum kind kind, int hash) {
    /* In TLS 1.2, SHA-256 is 4, SHA-384 is 5 and SHA-512 is 6 (RFC 5246 section 7.4.1.4.1). */
    switch (kind) {
    case KIND_ECDSA:
        return (unsigned)hash << 8 | (SIGNING_ECDSA_SHA256 & 0xff);
    case KIND_RSA_PKCS1:
        return (unsigned)hash << 8 | (SIGNING_RSA_PKCS1_SHA256 & 0xff);
    case KIND_RSA_PSS:
        return SIGNING_RSA_PSS_SHA256 + (unsigned)hash - (SIGNING_ECDSA_SHA256 >> 8);
    default:
        return SIGNING_ED25519;
    }
}

static bool ask(struct tls_session *session, enum kind kind) {
    uint8_t content[SIGNING_CONTENT_MAX];
    int hash;
    /* From our own patch (server/wolfssl/patches/): the callbacks themselves get only a digest. */
    int size = wolfSSL_GetSignedContent(session->handle, content, sizeof content, &hash);
    enum signing_version version =
        wolfSSL_version(session->handle) == TLS1_3_VERSION ? SIGNING_TLS_1_3 : SIGNING_TLS_1_2;
    if (size < 0 || !signing_ask(&session->request.question, version, scheme_of(kind, hash),
                                 session->certificate->key_id, content, (size_t)size))
        return false;
    signing_client_ask(session->tls->signing_client, &session->request, &session->origin);
    return true;
}

/*
 * wolfSSL calls this twice: the first call sends the question and the handshake waits; at the second, the answer is
 * there. length: the room for the signature, then its length.
 */
static int sign(struct tls_session *session, enum kind kind, unsigned char *signature, word32 *length) {
    if (session->signature) {
        if (session->signature_size > *length)
            return WC_HW_E;
        memcpy(signature, session->signature, session->signature_size);
        *length = (word32)session->signature_size;
        session->signature = NULL;
        return 0;
    }
    if (session->request.state != SIGNING_CLIENT_IDLE)
        return WC_PENDING_E;
    return !session->refused && ask(session, kind) ? WC_PENDING_E : WC_HW_E;
}

static int sign_ecdsa(WOLFSSL *handle, const unsigned char *digest, unsigned size, unsigned char *signature,
                      word32 *length, const unsigned char *key, unsigned key_size, void *context) {
    (void)handle, (void)digest, (void)size, (void)key, (void)key_size;
    return sign(context, KIND_ECDSA, signature, length);
}

static int sign_ed25519(WOLFSSL *handle, const unsigned char *content, unsigned size, unsigned char *signature,
                        unsigned *length, const unsigned char *key, unsigned key_size, void *context) {
    (void)handle, (void)content, (void)size, (void)key, (void)key_size;
    return sign(context, KIND_ED25519, signature, length);
}

static int sign_rsa(WOLFSSL *handle, const unsigned char *digest, unsigned size, unsigned char *signature,
                    word32 *length, const unsigned char *key, unsigned key_size, void *context) {
    (void)handle, (void)digest, (void)size, (void)key, (void)key_size;
    return sign(context, KIND_RSA_PKCS1, signature, length);
}

static int sign_rsa_pss(WOLFSSL *handle, const unsigned char *digest, unsigned size, unsigned char *signature,
                        unsigned *length, int hash, int mask, const unsigned char *key, unsigned key_size,
                        void *context) {
    (void)handle, (void)digest, (void)size, (void)hash, (void)mask, (void)key, (void)key_size;
    return sign(context, KIND_RSA_PSS, signature, length);
}

/* wolfSSL would verify RSA signatures with a key that is not here; the key process does that (identity.c). */
static int trust_rsa(WOLFSSL *handle, unsigned char *signature, unsigned size, unsigned char **content,
                     const unsigned char *key, unsigned key_size, void *context) {
    (void)handle, (void)signature, (void)size, (void)content, (void)key, (void)key_size, (void)context;
    return 0;
}

static int trust_rsa_pss(WOLFSSL *handle, unsigned char *signature, unsigned size, unsigned char **content, int hash,
                         int mask, const unsigned char *key, unsigned key_size, void *context) {
    (void)hash, (void)mask;
    return trust_rsa(handle, signature, size, content, key, key_size, context);
}

/* ---- certificates of clients ---- */

/*
 * Called for the client's own certificate; wolfSSL skips the rest of the chain
 * (wolfssl/patches/0006-client-certificate-alone.patch). The handshake continues whatever the certificate is: its
 * fingerprint is the identity, and TLS itself makes sure that the client has the key. Only a key whose signatures would
 * take too long to verify ends the handshake, before anything is verified.
 */
static int meet(int verified, WOLFSSL_X509_STORE_CTX *store) {
    struct tls_session *session = store->userCtx;
    byte digest[WC_SHA256_DIGEST_SIZE];
    bool key_fits;
    (void)verified;
    if (!session || store->totalCerts < 1)
        return 0;
    const WOLFSSL_BUFFER_INFO *own = &store->certs[0];
    struct client *client = &session->client;
    client->certificate_state = certificate_judge(own->buffer, own->length, time(NULL), &key_fits);
    if (!key_fits) {
        store->error = UNSUPPORTED_CERTIFICATE;
        return 0;
    }
    if (wc_Sha256Hash(own->buffer, own->length, digest) != 0)
        return 0;
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(client->fingerprint + 2 * i, 3, "%02x", digest[i]);
    client->has_certificate = true;
    return 1;
}

/* ---- contexts ---- */

static WOLFSSL_CTX *context_begin(bool only_1_3) {
    /* wolfSSL's group numbers are enumerators, so the preprocessor cannot tell whether they exist. */
    int groups[] = {WOLFSSL_X25519MLKEM768, WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1};
    WOLFSSL_CTX *handle = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (!handle)
        return NULL;
    wolfSSL_CTX_SetIORecv(handle, receive);
    wolfSSL_CTX_SetIOSend(handle, transmit);
    wolfSSL_CTX_SetEccSignCb(handle, sign_ecdsa);
    wolfSSL_CTX_SetEd25519SignCb(handle, sign_ed25519);
    wolfSSL_CTX_SetRsaSignCb(handle, sign_rsa);
    wolfSSL_CTX_SetRsaPssSignCb(handle, sign_rsa_pss);
    wolfSSL_CTX_set_verify(handle, WOLFSSL_VERIFY_PEER, meet); /* requests a certificate, but does not require one */
    wolfSSL_CTX_SetRsaSignCheckCb(handle, trust_rsa);
    wolfSSL_CTX_SetRsaPssSignCheckCb(handle, trust_rsa_pss);
    wolfSSL_CTX_set_group_messages(
        handle); /* send a flight as a whole, even if it waits for a signature in the middle */
    if (wolfSSL_CTX_SetMinVersion(handle, only_1_3 ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_set_cipher_list(handle, cipher_order(cipher_order_has_aes())) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_set_groups(handle, groups, sizeof groups / sizeof *groups) == WOLFSSL_SUCCESS)
        return handle;
    wolfSSL_CTX_free(handle);
    return NULL;
}

static void log_failure(void) {
    log_line(LOG_LEVEL_ERROR, "TLS cannot be set up: out of memory or wolfSSL was built without a needed part");
}

static WOLFSSL_CTX *context_open(const struct certificate *certificate, bool only_1_3) {
    WOLFSSL_CTX *handle = context_begin(only_1_3);
    if (!handle) {
        log_failure();
        return NULL;
    }
    if (wolfSSL_CTX_use_certificate_chain_buffer(handle, (const unsigned char *)certificate->chain,
                                                 (long)certificate->chain_size) == WOLFSSL_SUCCESS)
        return handle;
    log_line(LOG_LEVEL_ERROR, "identity %s: the certificate cannot be used for TLS", certificate->host);
    wolfSSL_CTX_free(handle);
    return NULL;
}

static bool is_address(const char *host) {
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/*
 * A client that asks for an address sends no server name (RFC 6066 section 3). So a capsule named by an address comes
 * before all except `default`: the first with a usable identity, or else none, because another identity must not
 * replace it.
 */
static size_t choose_nameless(const struct certificates *certificates, size_t fallback) {
    const struct certificate *list = certificates->list;
    size_t chosen = certificates->count;
    if (strcmp(list[fallback].host, "default") == 0)
        return fallback;
    for (size_t i = 0; i < certificates->count; i++) {
        if (is_address(list[i].host) && (chosen == certificates->count || !list[chosen].chain))
            chosen = i;
    }
    return chosen < certificates->count ? chosen : fallback;
}

/* Returns the place for a new context; the one that was used longest ago makes room. */
static struct context *make_room(struct tls *tls) {
    if (tls->context_count < CONTEXTS_MAX)
        return &tls->contexts[tls->context_count++];
    struct context *oldest = tls->contexts;
    for (size_t i = 1; i < CONTEXTS_MAX; i++) {
        if (tls->contexts[i].used < oldest->used)
            oldest = &tls->contexts[i];
    }
    wolfSSL_CTX_free(oldest->handle); /* sessions under way hold it, too */
    tls->context_of[oldest->index] = 0;
    return oldest;
}

/* Returns the context for a certificate that is not barred; NULL after logging why there is none. */
static WOLFSSL_CTX *context_for(struct tls *tls, size_t index) {
    if (tls->context_of[index] == 0) {
        WOLFSSL_CTX *handle = context_open(&tls->certificates->list[index], tls->only_1_3);
        if (!handle)
            return NULL;
        struct context *made = make_room(tls);
        *made = (struct context){.handle = handle, .index = index};
        tls->context_of[index] = (uint16_t)(made - tls->contexts + 1);
    }
    struct context *found = &tls->contexts[tls->context_of[index] - 1];
    found->used = ++tls->sessions;
    return found->handle;
}

void tls_take_memory(void) {
    wolfSSL_SetAllocators(block_cache_take, block_cache_give, block_cache_resize);
}

/* Otherwise, data of clients would not be zeroed when it is freed. */
static bool memory_is_taken(void) {
    wolfSSL_Malloc_cb take;
    wolfSSL_Free_cb give;
    wolfSSL_Realloc_cb resize;
    return wolfSSL_GetAllocators(&take, &give, &resize) == 0 && take == block_cache_take && give == block_cache_give &&
           resize == block_cache_resize;
}

struct tls *tls_open(const struct certificates *certificates, const char *fallback, bool only_1_3,
                     struct tls_channel *channel, struct signing_client *signing_client) {
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls || !memory_is_taken() || wolfSSL_Init() != WOLFSSL_SUCCESS) {
        log_failure();
        free(tls);
        return NULL;
    }
    tls->channel = channel;
    tls->signing_client = signing_client;
    tls->certificates = certificates;
    tls->only_1_3 = only_1_3;
    tls->context_of = calloc(certificates->count, sizeof *tls->context_of);
    const struct certificate *certificate = certificates_find(certificates, fallback);
    if (!tls->context_of || !certificate) {
        log_failure();
        tls_close(tls);
        return NULL;
    }
    tls->fallback = (size_t)(certificate - certificates->list);
    tls->nameless = choose_nameless(certificates, tls->fallback);
    /* Makes a context now, so that a fault shows at the start and not at every visit. */
    if (certificate->chain && !context_for(tls, tls->fallback)) {
        tls_close(tls);
        return NULL;
    }
    return tls;
}

void tls_close(struct tls *tls) {
    if (!tls)
        return;
    for (size_t i = 0; i < tls->context_count; i++)
        wolfSSL_CTX_free(tls->contexts[i].handle);
    free(tls->context_of);
    free(tls);
    wolfSSL_Cleanup();
}

/* ---- sessions ---- */

static size_t choose(const struct tls *tls, const char *server_name) {
    const struct certificate *found = certificates_find(tls->certificates, server_name);
    return found ? (size_t)(found - tls->certificates->list) : server_name[0] == '\0' ? tls->nameless : tls->fallback;
}

bool tls_bars(const struct tls *tls, const char *host) {
    char canonical[HOSTNAME_MAX + 1];
    if (tls->certificates->barred == 0 || !hostname_canonical(canonical, host))
        return false;
    const struct certificate *found = certificates_find(tls->certificates, canonical);
    return found && !found->chain;
}

/* Tells a client that its server name is not served, before a version is negotiated. */
static void refuse_name(struct tls_channel *channel) {
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 112}; /* RFC 8446 sections 5.1 and 6: fatal, unrecognized_name */
    memcpy(channel->output, alert, sizeof alert);
    channel->output_size = sizeof alert;
}

struct tls_session *tls_session_begin(struct tls *tls, const char *server_name, void *owner,
                                      const struct signing_client_origin *origin) {
    size_t index = choose(tls, server_name);
    const struct certificate *certificate = &tls->certificates->list[index];
    if (!certificate->chain) {
        refuse_name(tls->channel);
        return NULL;
    }
    WOLFSSL_CTX *context = context_for(tls, index);
    struct tls_session *session = context ? block_cache_take_zeroed(sizeof *session) : NULL;
    if (!session)
        return NULL;
    session->handle = wolfSSL_new(context);
    if (!session->handle) {
        block_cache_give(session);
        return NULL;
    }
    session->tls = tls;
    session->request.owner = owner;
    session->origin = *origin;
    session->certificate = certificate;
    wolfSSL_SetIOReadCtx(session->handle, tls->channel);
    wolfSSL_SetIOWriteCtx(session->handle, tls->channel);
    wolfSSL_SetCertCbCtx(session->handle, session);
    wolfSSL_SetEccSignCtx(session->handle, session);
    wolfSSL_SetEd25519SignCtx(session->handle, session);
    wolfSSL_SetRsaSignCtx(session->handle, session);
    wolfSSL_SetRsaPssSignCtx(session->handle, session);
    return session;
}

void tls_session_end(struct tls_session *session) {
    if (!session)
        return;
    signing_client_forget(session->tls->signing_client, &session->request);
    wolfSSL_free(session->handle);
    block_cache_give(session);
}

/* The alert for an error of wolfSSL (RFC 8446 section 6.2, RFC 5246 section 7.2.2). */
static int alert_for(const struct tls_session *session, int error) {
    switch (error) {
    case MEMORY_E:
        return internal_error;
    case VERSION_ERROR:
        return wolfssl_alert_protocol_version;
    case OUT_OF_ORDER_E:
    case DUPLICATE_MSG_E:
    case UNKNOWN_RECORD_TYPE:
    case UNKNOWN_HANDSHAKE_TYPE:
    case NO_CHANGE_CIPHER_E:
        return unexpected_message;
    case LENGTH_ERROR:
        return record_overflow;
    case DECRYPT_ERROR:
    case VERIFY_MAC_ERROR:
    case AES_GCM_AUTH_E:
    case MAC_CMP_FAILED_E:
        return bad_record_mac;
    case BUFFER_ERROR:
    case PARSE_ERROR:
    case ASN_PARSE_E:
        return decode_error;
    case VERIFY_FINISHED_ERROR:
    case SIG_VERIFY_E:
    case VERIFY_SIGN_ERROR:
        return decrypt_error;
    case KEY_SHARE_ERROR:
    case MATCH_SUITE_ERROR:
    case UNSUPPORTED_SUITE:
    case NO_PEER_VERIFY:
        return handshake_failure;
    case HANDSHAKE_SIZE_ERROR:
    case INVALID_PARAMETER:
        return illegal_parameter;
    default:
        /* The computation failed: with a key share, or, after a certificate, with its signature. */
        return session->client.has_certificate ? decrypt_error : illegal_parameter;
    }
}

/* A function of wolfSSL that no installed header declares; no other one sends an alert. */
int SendAlert(WOLFSSL *session, int severity, int type);

/* No failure is silent: if wolfSSL has sent no fatal alert for its error, this does. */
static void tell_failure(struct tls_session *session, int error) {
    WOLFSSL_ALERT_HISTORY history;
    if (wolfSSL_get_alert_history(session->handle, &history) == WOLFSSL_SUCCESS &&
        history.last_tx.level != alert_fatal && history.last_rx.level != alert_fatal)
        SendAlert(session->handle, alert_fatal, alert_for(session, error));
}

/* Returns what a failed call means. */
static enum tls_progress progress(struct tls_session *session, int result) {
    int error = wolfSSL_get_error(session->handle, result);
    switch (error) {
    case WOLFSSL_ERROR_WANT_READ:
        return TLS_WANTS_INPUT;
    case WC_PENDING_E:
        return TLS_WANTS_SIGNATURE;
    case WOLFSSL_ERROR_ZERO_RETURN:
        return TLS_ENDED;
    default:
        tell_failure(session, error);
        return TLS_FAILED;
    }
}

enum tls_progress tls_handshake(struct tls_session *session) {
    int result = wolfSSL_accept(session->handle);
    return result == WOLFSSL_SUCCESS ? TLS_DONE : progress(session, result);
}

enum tls_progress tls_session_sign(struct tls_session *session, const uint8_t *signature, size_t size) {
    session->signature = size > 0 ? signature : NULL;
    session->signature_size = size;
    session->refused = size == 0;
    enum tls_progress progress = tls_handshake(session);
    session->signature = NULL;
    return progress;
}

enum tls_progress tls_read(struct tls_session *session, void *bytes, size_t size, size_t *got) {
    int result = wolfSSL_read(session->handle, bytes, (int)size);
    *got = result > 0 ? (size_t)result : 0;
    return result > 0 ? TLS_DONE : progress(session, result);
}

/* These two functions are from our own patch (server/wolfssl/patches/0031-records-in-place.patch). */
uint8_t *tls_record_begin(struct tls_session *session, size_t *room) {
    struct tls_channel *channel = session->tls->channel;
    int offset = wolfSSL_BeginRecord(session->handle); /* it may put a record with new keys into the output */
    size_t left = sizeof channel->output - channel->output_size;
    if (offset < 0)
        return NULL;
    *room = left > TLS_RECORD_OVERHEAD + TLS_OTHER_MAX / 2 ? left - TLS_RECORD_OVERHEAD - TLS_OTHER_MAX / 2 : 0;
    if (*room > TLS_RECORD_MAX)
        *room = TLS_RECORD_MAX;
    return channel->output + channel->output_size + offset;
}

enum tls_progress tls_record_end(struct tls_session *session, size_t size) {
    struct tls_channel *channel = session->tls->channel;
    int result = wolfSSL_EndRecord(session->handle, channel->output + channel->output_size,
                                   (unsigned)(sizeof channel->output - channel->output_size), (int)size);
    return result == (int)size ? TLS_DONE : TLS_FAILED;
}

void tls_close_notify(struct tls_session *session) {
    wolfSSL_shutdown(session->handle);
}

const struct client *tls_client_of(const struct tls_session *session) {
    return &session->client;
}

const char *tls_version(const struct tls_session *session) {
    if (!wolfSSL_is_init_finished(session->handle))
        return "-";
    return wolfSSL_version(session->handle) == TLS1_3_VERSION ? "1.3" : "1.2";
}

const char *tls_library_version(void) {
    return LIBWOLFSSL_VERSION_STRING;
}
