/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* For wolfSSL under the fuzz target of whole visits: a key of AES encrypts one record, and not 2^24.5. */
#define AEAD_AES_LIMIT w64From32(0, 1)
