/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The validity of a certificate (RFC 5280 section 4.1.2.5). */
enum certificate_state {
    CERTIFICATE_VALID,   /* well-formed, and now is between its notBefore and notAfter */
    CERTIFICATE_EARLY,   /* now is before its notBefore */
    CERTIFICATE_EXPIRED, /* now is after its notAfter */
    CERTIFICATE_UNFIT,   /* not well-formed, or with a critical extension that we do not know */
};
