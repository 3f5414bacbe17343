/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "soak.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE 32 /* bytes of each line of a body */

static const struct {
    const char *path;
    uint32_t lines_min, lines_more; /* a body has at least lines_min lines, and fewer than lines_more additional ones */
    unsigned pause;                 /* milliseconds between two versions */
} bodies[BODY_COUNT] = {
    [BODY_PAGE] = {"localhost/page.gmi", 10, 300, 20},
    [BODY_LARGE] = {"localhost/large.txt", 60000, 30000, 400},
};

/* ---- versions: every line contains the version, and the first one also the number of lines ---- */

static uint32_t lines_of(enum body body, uint32_t version) {
    return bodies[body].lines_min + version * 2654435761u % bodies[body].lines_more;
}

static void write_line(char line[static LINE + 1], uint32_t version, uint32_t number) {
    snprintf(line, LINE + 1, "version %010u line %07u\n", version, number % 10000000);
}

bool capsule_is_version(enum body body, const char *bytes, size_t size, uint32_t *version) {
    char line[LINE + 1];
    if (size < LINE || sscanf(bytes, "version %u ", version) != 1 || size != (size_t)lines_of(body, *version) * LINE)
        return false;
    for (size_t at = 0; at < size; at += LINE) {
        write_line(line, *version, (uint32_t)(at / LINE));
        if (memcmp(bytes + at, line, LINE) != 0)
            return false;
    }
    return true;
}

/* ---- files ---- */

static bool put(const struct soak *soak, const char *path, const char *text) {
    char whole[256];
    snprintf(whole, sizeof whole, "%s/content/%s", soak->folder, path);
    FILE *file = fopen(whole, "w");
    bool written = file && fputs(text, file) >= 0;
    if (file && fclose(file) != 0)
        written = false;
    if (!written)
        fprintf(stderr, "%s: %s\n", whole, strerror(errno));
    return written;
}

static bool make_folder(const struct soak *soak, const char *path, mode_t mode) {
    char whole[256];
    snprintf(whole, sizeof whole, "%s/%s", soak->folder, path);
    return mkdir(whole, mode) == 0 && chmod(whole, mode) == 0;
}

/* A rename replaces the old version, so that requests that already read it still get all of it. */
static bool replace(struct soak *soak, enum body body) {
    char path[256], next[256], line[LINE + 1];
    uint32_t version = soak->surely[body] + 1;
    snprintf(path, sizeof path, "%s/content/%s", soak->folder, bodies[body].path);
    snprintf(next, sizeof next, "%s/next", soak->folder);
    FILE *file = fopen(next, "w");
    if (!file)
        return false;
    for (uint32_t i = 0; i < lines_of(body, version); i++) {
        write_line(line, version, i);
        fwrite(line, 1, LINE, file);
    }
    bool written = fclose(file) == 0;
    soak->perhaps[body] = version;
    if (!written || rename(next, path) < 0)
        return false;
    soak->surely[body] = version;
    return true;
}

void capsule_change(struct soak *soak) {
    for (unsigned time = 0; !soak->over; time += 10) {
        for (enum body body = 0; body < BODY_COUNT; body++) {
            if (time % bodies[body].pause == 0 && !replace(soak, body)) {
                fprintf(stderr, "%s: %s\n", bodies[body].path, strerror(errno));
                soak->wrong++;
            }
        }
        usleep(10000);
    }
}

/* ---- a client certificate ---- */

static X509 *make_certificate(EVP_PKEY *key) {
    X509 *certificate = X509_new();
    if (!certificate)
        return NULL;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"visitor",
                               -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    return certificate;
}

X509 *capsule_authority(void) {
    static EVP_PKEY *key;
    char identifier[32];
    unsigned char noise[8];
    if (!key)
        key = EVP_EC_gen("P-256");
    X509 *authority = key ? make_certificate(key) : NULL;
    RAND_bytes(noise, sizeof noise);
    snprintf(identifier, sizeof identifier, "%02X%02X%02X%02X%02X%02X%02X%02X", noise[0], noise[1], noise[2], noise[3],
             noise[4], noise[5], noise[6], noise[7]);
    X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_key_identifier, identifier);
    if (authority && basic && name) {
        X509_add_ext(authority, basic, -1);
        X509_add_ext(authority, name, -1);
        X509_sign(authority, key, EVP_sha256());
    }
    X509_EXTENSION_free(basic);
    X509_EXTENSION_free(name);
    return authority;
}

/* Makes the client certificate and adds it to the access list. */
static bool make_identity(struct soak *soak) {
    unsigned char digest[32];
    unsigned size = sizeof digest;
    char list[128] = "";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? make_certificate(key) : NULL;
    snprintf(soak->identity, sizeof soak->identity, "%s/visitor.pem", soak->folder);
    FILE *file = fopen(soak->identity, "w");
    bool made = certificate && file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                PEM_write_X509(file, certificate) == 1 && X509_digest(certificate, EVP_sha256(), digest, &size) == 1;
    if (file && fclose(file) != 0)
        made = false;
    for (unsigned i = 0; i < size; i++)
        snprintf(list + 2 * i, 3, "%02x", digest[i]);
    strcat(list, " Ada\n");
    X509_free(certificate);
    EVP_PKEY_free(key);
    return made && put(soak, "localhost/club/.access", list);
}

bool capsule_make(struct soak *soak) {
    static const char *const folders[] = {"content", "content/localhost", "content/localhost/list",
                                          "content/localhost/club"};
    bool made = make_folder(soak, "state", 0700);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        made = made && make_folder(soak, folders[i], 0755);
    made = made && put(soak, "localhost/index.gmi", "# Start\n") && put(soak, "localhost/club/index.gmi", "# Club\n") &&
           put(soak, "localhost/.meta", "old.gmi: 31 /page.gmi\ngone.gmi: 52 Gone\n") &&
           put(soak, "localhost/list/.directory-listing-ok", LISTING_HEAD);
    for (int i = 0; i < LISTED && made; i++) {
        char path[64];
        snprintf(path, sizeof path, "localhost/list/file-%02d.txt", i);
        made = put(soak, path, "x\n");
    }
    for (enum body body = 0; body < BODY_COUNT; body++)
        made = made && replace(soak, body);
    return made && make_identity(soak);
}
