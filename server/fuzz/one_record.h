/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Included by wolfSSL's build for the fuzz target of whole visits: an AES key encrypts one record instead of 2^24.5. */
#define AEAD_AES_LIMIT w64From32(0, 1)
