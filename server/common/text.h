/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Text functions for the pure parts: UTF-8 (RFC 3629) and percent-encoding (RFC 3986, section 2.1). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads one code point from the text at *at, which ends before `end`, and moves *at past it. Returns false and leaves
 * *at if there is no well-formed one (overlong forms, surrogates and values above U+10FFFF are not).
 */
bool text_next(const char **at, const char *end, uint32_t *code_point);

/* C0, DEL or C1 (U+0080 to U+009F)? */
bool text_is_control(uint32_t code_point);

/* Are these bytes well-formed UTF-8? */
bool text_is_utf8(const char *text, size_t length);

/* Are these bytes well-formed UTF-8 without any control character? */
bool text_is_clean(const char *text, size_t length);

/* Is this a well-formed language tag (RFC 5646, section 2.1; the registry is not asked), e.g. "en" or "de-AT-1996"? */
bool text_is_language(const char *tag, size_t length);

/*
 * A line parser calls this for each fault that it finds. line: counted from 1. problem: a sentence without file name
 * and full stop, with text from the file quoted; valid only during the call.
 */
typedef void text_fault(unsigned line, const char *problem, void *context);

/* Returns what a noun takes after this many of it: "" for one, "s" otherwise. */
const char *text_plural(size_t count);

/* Returns the value of a hexadecimal digit, or -1. */
int text_hex_digit(char digit);

/*
 * Percent-encodes text for the path of a URI: letters, digits and `-._~!$&'()*+,;=:@/` stay. size: bytes of encoded,
 * with the NUL. Returns the length written, or -1 if it does not fit (encoded is then "").
 */
int text_encode_path(char *encoded, size_t size, const char *text);
