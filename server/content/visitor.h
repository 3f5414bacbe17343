/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Who asks: what a client certificate tells about the visitor. A self-signed one is as good as any other; its
 * fingerprint is the visitor's identity (Gemini network protocol, section "Client certificates").
 */

#include <stdbool.h>

#include "common/certificate_state.h"

#define VISITOR_FINGERPRINT 64 /* hexadecimal digits of a SHA-256 */
#define VISITOR_NAME_MAX 63    /* bytes */

/* All zero: a visitor without a certificate. */
struct visitor {
    bool has_certificate;
    enum certificate_state certificate_state;
    char fingerprint[VISITOR_FINGERPRINT + 1]; /* SHA-256 of the certificate in DER, lower-case hexadecimal */
    char name[VISITOR_NAME_MAX + 1]; /* filled in by capsules_answer: what the access list calls them, or "" */
};
