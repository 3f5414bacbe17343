/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text.h"

#include <string.h>

/* The lead byte of a sequence, its payload bits, and the smallest code point that may have this many bytes. */
static const struct {
    unsigned char mask, lead;
    int following;
    uint32_t smallest;
} sequences[] = {
    {0x80, 0x00, 0, 0x0},
    {0xe0, 0xc0, 1, 0x80},
    {0xf0, 0xe0, 2, 0x800},
    {0xf8, 0xf0, 3, 0x10000},
};

bool text_next(const char **at, const char *end, uint32_t *code_point) {
    if (*at >= end)
        return false;
    unsigned char lead = (unsigned char)**at;
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        if ((lead & sequences[i].mask) != sequences[i].lead)
            continue;
        if (end - *at <= sequences[i].following)
            return false;
        uint32_t value = (uint32_t)lead & (uint32_t)~sequences[i].mask & 0xff;
        for (int k = 1; k <= sequences[i].following; k++) {
            unsigned char byte = (unsigned char)(*at)[k];
            if ((byte & 0xc0) != 0x80)
                return false;
            value = value << 6 | (byte & 0x3f);
        }
        if (value < sequences[i].smallest || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
            return false;
        *at += sequences[i].following + 1;
        *code_point = value;
        return true;
    }
    return false;
}

bool text_is_control(uint32_t code_point) {
    return code_point < 0x20 || (code_point >= 0x7f && code_point <= 0x9f);
}

bool text_is_utf8(const char *text, size_t length) {
    const char *end = text + length;
    uint32_t code_point;
    while (text < end) {
        if (!text_next(&text, end, &code_point))
            return false;
    }
    return true;
}

bool text_is_clean(const char *text, size_t length) {
    const char *end = text + length;
    uint32_t code_point;
    while (text < end) {
        if (!text_next(&text, end, &code_point) || text_is_control(code_point))
            return false;
    }
    return true;
}

static bool is_alpha(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_alphanumeric(char byte) {
    return is_alpha(byte) || (byte >= '0' && byte <= '9');
}

/*
 * langtag = language *("-" subtag): a language of 2 to 8 letters, then subtags of 1 to 8 letters and digits; a single
 * character begins an extension and cannot be the last subtag. Private tags are `x-` and subtags; the old `i-` tags
 * look alike.
 */
bool text_is_language(const char *tag, size_t length) {
    size_t start = 0;
    bool has_content = false;
    for (size_t at = 0; at <= length; at++) {
        if (at < length && tag[at] != '-') {
            if (start == 0 ? !is_alpha(tag[at]) : !is_alphanumeric(tag[at]))
                return false;
            continue;
        }
        size_t size = at - start;
        if (size == 0 || size > 8)
            return false;
        if (start == 0 && size == 1 && strchr("xXiI", tag[0]) == NULL)
            return false;
        has_content = size > 1 || (start > 0 && (tag[0] == 'x' || tag[0] == 'X'));
        start = at + 1;
    }
    return has_content;
}

const char *text_plural(size_t count) {
    return count == 1 ? "" : "s";
}

int text_hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* pchar of RFC 3986 without `%`, and the slash between segments. */
static bool stays_in_path(char byte) {
    return is_alphanumeric(byte) || (byte != '\0' && strchr("-._~!$&'()*+,;=:@/", byte) != NULL);
}

int text_encode_path(char *encoded, size_t size, const char *text) {
    static const char digits[] = "0123456789ABCDEF";
    size_t length = 0;
    for (; *text != '\0'; text++) {
        bool stays = stays_in_path(*text);
        if (length + (stays ? 1 : 3) >= size) {
            if (size > 0)
                encoded[0] = '\0';
            return -1;
        }
        if (stays) {
            encoded[length++] = *text;
        } else {
            encoded[length++] = '%';
            encoded[length++] = digits[(unsigned char)*text >> 4];
            encoded[length++] = digits[(unsigned char)*text & 15];
        }
    }
    if (size == 0)
        return -1;
    encoded[length] = '\0';
    return (int)length;
}
