/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hostname.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "text.h"

#define PREFIX "xn--"
#define PREFIX_LENGTH 4

/* ---- Punycode (RFC 3492), for one label. Parameters: section 5 ---- */

enum { BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700, INITIAL_BIAS = 72, INITIAL_N = 0x80 };

/* Section 6.1 */
static uint32_t adapt(uint32_t delta, uint32_t points, bool first) {
    uint32_t k = 0;
    delta = first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
        delta /= BASE - T_MIN;
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static uint32_t threshold(uint32_t k, uint32_t bias) {
    if (k <= bias + T_MIN)
        return T_MIN;
    return k >= bias + T_MAX ? T_MAX : k - bias;
}

/* A label that grows up to its limit. */
struct output {
    char *bytes;
    size_t length, room;
};

static bool put(struct output *output, char byte) {
    if (output->length == output->room)
        return false;
    output->bytes[output->length++] = byte;
    return true;
}

/* A generalized variable-length integer (section 3.3). */
static bool put_integer(struct output *output, uint32_t value, uint32_t bias) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = threshold(k, bias);
        if (value < t)
            return put(output, digits[value]);
        if (!put(output, digits[t + (value - t) % (BASE - t)]))
            return false;
        value = (value - t) / (BASE - t);
    }
}

/* Section 6.3. With at most HOSTNAME_LABEL_MAX code points per label, delta stays below 2^27. */
static bool encode(struct output *output, const uint32_t *points, size_t count) {
    uint32_t n = INITIAL_N, delta = 0, bias = INITIAL_BIAS;
    size_t basic = 0;
    for (size_t i = 0; i < count; i++) {
        if (points[i] < INITIAL_N) {
            if (!put(output, (char)points[i]))
                return false;
            basic++;
        }
    }
    if (basic > 0 && !put(output, '-'))
        return false;
    for (size_t handled = basic; handled < count; delta++, n++) {
        uint32_t next = UINT32_MAX;
        for (size_t i = 0; i < count; i++) {
            if (points[i] >= n && points[i] < next)
                next = points[i];
        }
        delta += (next - n) * (uint32_t)(handled + 1);
        n = next;
        for (size_t i = 0; i < count; i++) {
            if (points[i] < n)
                delta++;
            if (points[i] != n)
                continue;
            if (!put_integer(output, delta, bias))
                return false;
            bias = adapt(delta, (uint32_t)handled + 1, handled == basic);
            delta = 0;
            handled++;
        }
    }
    return true;
}

/* Lower-case letters only: what is decoded must encode to the same label again, which has no others. */
static int digit_value(char digit) {
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a';
    return digit >= '0' && digit <= '9' ? digit - '0' + 26 : -1;
}

/* The rest of section 6.2 for one integer: adds its value to *i. False: invalid digit, cut off, or too large. */
static bool take_integer(const char **at, const char *end, uint32_t bias, uint64_t *i) {
    uint64_t weight = 1;
    for (uint32_t k = BASE;; k += BASE) {
        int digit = *at < end ? digit_value(**at) : -1;
        if (digit < 0)
            return false;
        ++*at;
        *i += (uint64_t)digit * weight;
        if (*i > UINT32_MAX)
            return false;
        uint32_t t = threshold(k, bias);
        if ((uint32_t)digit < t)
            return true;
        weight *= BASE - t;
        if (weight > UINT32_MAX)
            return false;
    }
}

/* Section 6.2. */
static bool decode(const char *text, size_t length, uint32_t points[static HOSTNAME_LABEL_MAX], size_t *count) {
    const char *at = text, *end = text + length;
    uint32_t bias = INITIAL_BIAS;
    uint64_t n = INITIAL_N, i = 0;
    *count = 0;
    const char *delimiter = memrchr(text, '-', length);
    if (delimiter != NULL && delimiter > text) {
        for (; at < delimiter; at++)
            points[(*count)++] = (unsigned char)*at;
        at++;
    }
    while (at < end) {
        uint64_t before = i;
        uint32_t size = (uint32_t)*count + 1;
        if (size > HOSTNAME_LABEL_MAX || !take_integer(&at, end, bias, &i))
            return false;
        bias = adapt((uint32_t)(i - before), size, before == 0);
        n += i / size;
        i %= size;
        if (n > 0x10ffff || (n >= 0xd800 && n <= 0xdfff))
            return false;
        memmove(points + i + 1, points + i, (*count - i) * sizeof(*points));
        points[i++] = (uint32_t)n;
        ++*count;
    }
    return true;
}

/* ---- Labels ---- */

static bool put_utf8(struct output *output, uint32_t point) {
    if (point < 0x80)
        return put(output, (char)point);
    int following = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    if (!put(output, (char)(lead[following] | point >> (6 * following))))
        return false;
    while (following-- > 0) {
        if (!put(output, (char)(0x80 | (point >> (6 * following) & 0x3f))))
            return false;
    }
    return true;
}

/* Converts a readable label to its DNS spelling. ASCII labels stay as they are; otherwise `changed` becomes true. */
static bool label_to_ascii(struct output *output, const char *label, size_t length, bool *changed) {
    uint32_t points[HOSTNAME_LABEL_MAX];
    size_t count = 0;
    bool is_ascii = true;
    const char *at = label, *end = label + length;
    while (at < end) {
        uint32_t point;
        if (count == HOSTNAME_LABEL_MAX || !text_next(&at, end, &point) || text_is_control(point))
            return false;
        is_ascii = is_ascii && point < 0x80;
        points[count++] = point;
    }
    char encoded[HOSTNAME_LABEL_MAX];
    struct output ascii = {.bytes = encoded, .room = sizeof(encoded)};
    if (!is_ascii) {
        *changed = true;
        for (size_t i = 0; i < PREFIX_LENGTH; i++)
            put(&ascii, PREFIX[i]);
        if (!encode(&ascii, points, count))
            return false;
        label = encoded;
        length = ascii.length;
    }
    for (size_t i = 0; i < length; i++) {
        if (!put(output, label[i]))
            return false;
    }
    return true;
}

/* The reverse. Refuses a label that would not encode to the same label again: each name has only one spelling. */
static bool label_to_unicode(struct output *output, const char *label, size_t length, bool *changed) {
    if (length > HOSTNAME_LABEL_MAX)
        return false;
    if (length < PREFIX_LENGTH || memcmp(label, PREFIX, PREFIX_LENGTH) != 0) {
        for (size_t i = 0; i < length; i++) {
            if (!put(output, label[i]))
                return false;
        }
        return true;
    }
    uint32_t points[HOSTNAME_LABEL_MAX];
    size_t count, start = output->length;
    if (!decode(label + PREFIX_LENGTH, length - PREFIX_LENGTH, points, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (text_is_control(points[i]) || points[i] == '/' || !put_utf8(output, points[i]))
            return false;
    }
    char again[HOSTNAME_LABEL_MAX];
    struct output ascii = {.bytes = again, .room = sizeof(again)};
    bool encoded = false;
    *changed = true;
    return label_to_ascii(&ascii, output->bytes + start, output->length - start, &encoded) && encoded &&
           ascii.length == length && memcmp(again, label, length) == 0;
}

static bool convert(char *converted, const char *host,
                    bool (*label_to)(struct output *output, const char *label, size_t length, bool *changed)) {
    struct output output = {.bytes = converted, .room = HOSTNAME_MAX};
    bool changed = false;
    for (;;) {
        size_t length = strcspn(host, ".");
        if (!label_to(&output, host, length, &changed))
            return false;
        host += length;
        if (*host == '\0')
            break;
        host++;
        if (!put(&output, '.'))
            return false;
    }
    converted[output.length] = '\0';
    return changed;
}

bool hostname_to_ascii(char ascii[static HOSTNAME_MAX + 1], const char *host) {
    return convert(ascii, host, label_to_ascii);
}

bool hostname_to_unicode(char name[static HOSTNAME_MAX + 1], const char *host) {
    char ascii[HOSTNAME_MAX + 1];
    /* The other labels stay as they are, so they must be valid in DNS, and all must fit. */
    return convert(name, host, label_to_unicode) && hostname_to_ascii(ascii, name);
}

static bool is_ascii(const char *text) {
    while (*text && !(*text & 0x80))
        text++;
    return *text == '\0';
}

bool hostname_canonical(char canonical[static HOSTNAME_MAX + 1], const char *host) {
    unsigned char address[sizeof(struct in6_addr)];
    if (is_ascii(host)) {
        size_t length = strlen(host);
        if (length == 0 || length > HOSTNAME_MAX)
            return false;
        memcpy(canonical, host, length + 1);
    } else if (!hostname_to_ascii(canonical, host)) {
        return false;
    }
    for (char *at = canonical; *at; at++) {
        if (*at >= 'A' && *at <= 'Z')
            *at += 'a' - 'A';
    }
    if (inet_pton(AF_INET6, canonical, address) == 1)
        inet_ntop(AF_INET6, address, canonical, HOSTNAME_MAX + 1);
    return true;
}

bool hostname_is_loopback(const char *address) {
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, address, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}
