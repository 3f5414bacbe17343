/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>

#include "log.h"

#define VALID_YEARS 50
#define DER_MAX 2048
#define PEM_MAX 4096
#define KEY_BYTES 32 /* P-256 */

static const char certificate_mark[] = "-----BEGIN CERTIFICATE-----";

/* ---- making ---- */

/* Writes a Time of RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from then on. */
static int put_time(unsigned char date[CTC_DATE_SIZE], const struct tm *when) {
    bool general = when->tm_year + 1900 >= 2050;
    char text[CTC_DATE_SIZE];
    strftime(text, sizeof text, "%Y%m%d%H%M%SZ", when);
    const char *shown = general ? text : text + 2; /* UTCTime has no century */
    size_t length = strlen(shown);
    date[0] = general ? 0x18 : 0x17;
    date[1] = (unsigned char)length;
    memcpy(date + 2, shown, length);
    return (int)length + 2;
}

static bool put_validity(Cert *certificate) {
    time_t now = time(NULL);
    struct tm when;
    if (!gmtime_r(&now, &when))
        return false;
    /* A visitor's clock may be a little behind; a day costs nothing. */
    now -= 24 * 60 * 60;
    gmtime_r(&now, &when);
    certificate->beforeDateSz = put_time(certificate->beforeDate, &when);
    when.tm_year += VALID_YEARS;
    if (when.tm_mon == 1 && when.tm_mday == 29)
        when.tm_mday = 28;
    certificate->afterDateSz = put_time(certificate->afterDate, &when);
    return true;
}

/* Writes SubjectAltName (RFC 5280 section 4.2.1.6): a dNSName, or an iPAddress where the host is one. */
static void put_alternative_name(Cert *certificate, const char *host) {
    unsigned char value[IDENTITY_HOST_MAX + 1];
    size_t length = strlen(host);
    unsigned char type = 0x82;
    if (inet_pton(AF_INET, host, value) == 1)
        type = 0x87, length = 4;
    else if (inet_pton(AF_INET6, host, value) == 1)
        type = 0x87, length = 16;
    else
        memcpy(value, host, length);

    unsigned char *at = certificate->altNames;
    bool entry_long = length > 127;
    size_t entry = 1 + (entry_long ? 2u : 1u) + length;
    *at++ = 0x30;
    if (entry > 127)
        *at++ = 0x81;
    *at++ = (unsigned char)entry;
    *at++ = type;
    if (entry_long)
        *at++ = 0x81;
    *at++ = (unsigned char)length;
    memcpy(at, value, length);
    certificate->altNamesSz = (int)(at + length - certificate->altNames);
}

static bool make_certificate(const char *host, ecc_key *key, WC_RNG *random, unsigned char *der, int *der_size) {
    bool made = false;
    Cert *certificate = malloc(sizeof *certificate); /* about 20 kB: too much for a stack */
    if (!certificate || wc_InitCert(certificate) != 0)
        goto end;
    certificate->version = 2;
    certificate->sigType = CTC_SHA256wECDSA;
    /* A common name has at most 64 characters (RFC 5280, appendix A.1); clients go by the alternative name. */
    snprintf(certificate->subject.commonName, sizeof certificate->subject.commonName, "%s",
             strlen(host) < CTC_NAME_SIZE ? host : "Gemini capsule");
    certificate->subject.commonNameEnc = CTC_UTF8;
    put_alternative_name(certificate, host);
    if (!put_validity(certificate))
        goto end;
    if (wc_SetKeyUsage(certificate, "digitalSignature") != 0 ||
        wc_SetSubjectKeyIdFromPublicKey(certificate, NULL, key) != 0)
        goto end;
    if (wc_MakeCert(certificate, der, DER_MAX, NULL, key, random) < 0)
        goto end;
    *der_size = wc_SignCert(certificate->bodySz, certificate->sigType, der, DER_MAX, NULL, key, random);
    made = *der_size > 0;
end:
    free(certificate);
    return made;
}

/* Makes key and certificate as one PEM text, certificate first. Returns its length, 0 on failure. */
static size_t make_pem(const char *host, char pem[static PEM_MAX]) {
    unsigned char der[DER_MAX], key_der[256];
    int der_size = 0;
    size_t length = 0;
    ecc_key key;
    WC_RNG random;

    if (wc_InitRng(&random) != 0)
        return 0;
    if (wc_ecc_init(&key) != 0)
        goto no_key;
    if (wc_ecc_make_key_ex(&random, KEY_BYTES, &key, ECC_SECP256R1) != 0 ||
        !make_certificate(host, &key, &random, der, &der_size))
        goto end;
    word32 key_size = sizeof key_der;
    if (wc_EccKeyToPKCS8(&key, key_der, &key_size) <= 0)
        goto end;
    int first = wc_DerToPem(der, (word32)der_size, (unsigned char *)pem, PEM_MAX, CERT_TYPE);
    if (first <= 0)
        goto end;
    int second =
        wc_DerToPem(key_der, key_size, (unsigned char *)pem + first, PEM_MAX - (word32)first, PKCS8_PRIVATEKEY_TYPE);
    if (second > 0)
        length = (size_t)first + (size_t)second;
end:
    explicit_bzero(key_der, sizeof key_der);
    wc_ecc_free(&key);
no_key:
    wc_FreeRng(&random);
    return length;
}

/* ---- files ---- */

static bool write_all(int file, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

/*
 * Puts a file in place so that it is either whole and on disk, or not there. link() rather than rename(): an identity
 * that somebody else made in the meantime stays.
 */
static bool store(int state, const char *name, const char *bytes, size_t size) {
    static const char temporary[] = ".new-identity";
    bool stored = false;
    unlinkat(state, temporary, 0);
    int file = openat(state, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return false;
    if (fchmod(file, 0600) == 0 && write_all(file, bytes, size) && fsync(file) == 0 &&
        linkat(state, temporary, state, name, 0) == 0)
        stored = true;
    int reason = errno;
    close(file);
    unlinkat(state, temporary, 0);
    if (stored)
        fsync(state);
    errno = reason;
    return stored;
}

/* Reads a whole small file. Returns its size or -errno; the text ends with NUL. */
static ssize_t load(int state, const char *name, char **text) {
    struct stat about;
    ssize_t size = -EIO;
    int file = openat(state, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return -errno;
    *text = NULL;
    if (fstat(file, &about) < 0)
        size = -errno;
    else if (!S_ISREG(about.st_mode) || about.st_size == 0 || about.st_size > IDENTITY_FILE_MAX)
        size = -EINVAL;
    else if (!(*text = malloc((size_t)about.st_size + 1)))
        size = -ENOMEM;
    else if ((size = read(file, *text, (size_t)about.st_size)) != about.st_size)
        size = size < 0 ? -errno : -EIO;
    else
        (*text)[size] = '\0';
    close(file);
    if (size < 0) {
        free(*text);
        *text = NULL;
    }
    return size;
}

/* ---- parts of a PEM file ---- */

static char *copy(const char *from, size_t size) {
    char *text = malloc(size + 1);
    if (text) {
        memcpy(text, from, size);
        text[size] = '\0';
    }
    return text;
}

/* Where the private key stands in a PEM text: its first byte and its length. */
static bool find_key(const char *pem, const char **start, size_t *size) {
    for (const char *at = pem; (at = strstr(at, "-----BEGIN ")); at += 11) {
        size_t line = strcspn(at, "\r\n");
        const char *mark = strstr(at, "PRIVATE KEY-----");
        if (!mark || mark > at + line)
            continue;
        const char *end = strstr(at, "-----END ");
        if (!end)
            return false;
        *start = at;
        *size = (size_t)(end - at) + strcspn(end, "\r\n");
        return true;
    }
    return false;
}

/* Splits the file's text into certificates and key. The text itself is wiped and freed by the caller. */
static bool split(struct identity *identity, const char *pem) {
    const char *certificates = strstr(pem, certificate_mark), *key;
    size_t key_size;
    if (!certificates || !find_key(pem, &key, &key_size))
        return false;
    size_t certificates_size = strlen(certificates);
    if (key > certificates)
        certificates_size = (size_t)(key - certificates);
    identity->certificate = copy(certificates, certificates_size);
    identity->certificate_size = certificates_size;
    identity->key = copy(key, key_size);
    identity->key_size = key_size;
    return identity->certificate && identity->key;
}

static void identity_dispose(struct identity *identity) {
    if (identity->key)
        explicit_bzero(identity->key, identity->key_size);
    free(identity->key);
    free(identity->certificate);
    *identity = (struct identity){0};
}

/* ---- all of them ---- */

static bool make(int state, const char *host, const char *name) {
    char pem[PEM_MAX];
    size_t size = make_pem(host, pem);
    bool stored = size > 0 && (store(state, name, pem, size) || errno == EEXIST);
    if (size == 0)
        log_line(LOG_LEVEL_ERROR, "identity %s: no key could be made for this host", host);
    else if (!stored)
        log_line(LOG_LEVEL_ERROR, "identity %s: %s cannot be written to the state folder: %s", host, name,
                 strerror(errno));
    else
        log_line(LOG_LEVEL_NOTICE, "identity %s: made, visitors pin it at their first visit", host);
    explicit_bzero(pem, sizeof pem);
    return stored;
}

static bool add(struct identities *identities, struct identity *identity) {
    struct identity *list = reallocarray(identities->list, identities->count + 1, sizeof *list);
    if (!list)
        return false;
    size_t at = identities->count;
    while (at > 0 && strcmp(list[at - 1].host, identity->host) > 0) {
        list[at] = list[at - 1];
        at--;
    }
    list[at] = *identity;
    identities->list = list;
    identities->count++;
    return true;
}

bool identities_provide(struct identities *identities, int state, const char *host) {
    char name[IDENTITY_HOST_MAX + sizeof ".pem"];
    char *pem = NULL;
    struct identity identity = {0};
    bool provided = false;

    if (strlen(host) > IDENTITY_HOST_MAX - 4) { /* the file's name has at most 255 bytes */
        log_line(LOG_LEVEL_ERROR, "identity: a host name of %zu bytes is too long", strlen(host));
        return false;
    }
    snprintf(identity.host, sizeof identity.host, "%s", host);
    snprintf(name, sizeof name, "%s.pem", host);
    ssize_t size = load(state, name, &pem);
    if (size == -ENOENT && make(state, host, name))
        size = load(state, name, &pem);
    else if (size == -ENOENT)
        return false;
    if (size < 0)
        log_line(LOG_LEVEL_ERROR, "identity %s: %s in the state folder cannot be read: %s", host, name,
                 strerror((int)-size));
    else if (!split(&identity, pem))
        log_line(LOG_LEVEL_ERROR,
                 "identity %s: %s in the state folder holds no certificate with its private key; put it "
                 "back from a backup",
                 host, name);
    else
        provided = add(identities, &identity);
    if (!provided)
        identity_dispose(&identity);
    if (pem)
        explicit_bzero(pem, (size_t)size);
    free(pem);
    return provided;
}

const struct identity *identities_find(const struct identities *identities, const char *host) {
    size_t low = 0, high = identities->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(host, identities->list[middle].host);
        if (order == 0)
            return &identities->list[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void identities_dispose(struct identities *identities) {
    for (size_t i = 0; i < identities->count; i++)
        identity_dispose(&identities->list[i]);
    free(identities->list);
    *identities = (struct identities){0};
}
