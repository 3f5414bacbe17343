/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The client, as its certificate identifies it. A self-signed certificate is as good as any other; its fingerprint is
 * the client's identity (Gemini network protocol, section "Client certificates").
 */

#include <stdbool.h>

#include "common/certificate_state.h"

#define CLIENT_FINGERPRINT 64 /* hexadecimal digits of a SHA-256 */
#define CLIENT_NAME_MAX 63    /* bytes */

/* All zero: a client without a certificate. */
struct client {
    bool has_certificate;
    enum certificate_state certificate_state;
    char fingerprint[CLIENT_FINGERPRINT + 1]; /* SHA-256 of the certificate in DER, lower-case hexadecimal */
    char name[CLIENT_NAME_MAX + 1];           /* the client's name in the access list, or ""; set by capsules_answer */
};
