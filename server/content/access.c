/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lines.h"

/* Reads a fingerprint from the start of a line. Returns the text after it, or NULL. */
static const char *take_fingerprint(char fingerprint[static CLIENT_FINGERPRINT + 1], const char *at, const char *end) {
    static const char digits[] = "0123456789abcdef", prefix[] = "sha256:";
    size_t count = 0;
    if ((size_t)(end - at) >= sizeof prefix - 1 && strncasecmp(at, prefix, sizeof prefix - 1) == 0)
        at += sizeof prefix - 1;
    for (; at < end && !lines_is_space(*at); at++) {
        int value = text_hex_digit(*at);
        if (*at == ':' && count > 0 && count % 2 == 0 && count < CLIENT_FINGERPRINT)
            continue;
        if (value < 0 || count == CLIENT_FINGERPRINT)
            return NULL;
        fingerprint[count++] = digits[value];
    }
    fingerprint[count] = '\0';
    return count == CLIENT_FINGERPRINT ? at : NULL;
}

/* Returns what is wrong with the line, or NULL. */
static const char *read_entry(struct access_entry *entry, const char *at, const char *end) {
    at = take_fingerprint(entry->fingerprint, at, end);
    if (!at)
        return "must begin with the SHA-256 of a certificate: 64 hexadecimal digits";
    while (at < end && lines_is_space(*at))
        at++;
    size_t length = (size_t)(end - at);
    if (length > CLIENT_NAME_MAX)
        return "the name is longer than 63 bytes";
    if (!text_is_clean(at, length))
        return "the name is not valid UTF-8";
    memcpy(entry->name, at, length);
    entry->name[length] = '\0';
    return NULL;
}

/* The list grows to the next power of two, because growing by one entry would copy a long list a thousand times. */
static bool append(struct access_list *list, const struct access_entry *entry) {
    if ((list->count & (list->count - 1)) == 0) {
        struct access_entry *longer =
            reallocarray(list->entries, list->count == 0 ? 1 : 2 * list->count, sizeof *longer);
        if (!longer)
            return false;
        list->entries = longer;
    }
    list->entries[list->count++] = *entry;
    return true;
}

int access_parse(struct access_list *list, const char *text, size_t length, text_fault *fault, void *context) {
    struct lines lines = lines_begin(text, length);
    const char *line;
    int faults = 0;
    *list = (struct access_list){0};
    if (length > ACCESS_FILE_MAX)
        return -EFBIG;
    while (lines_next(&lines, &line, &length)) {
        const char *end = line + length;
        struct access_entry entry;
        while (end > line && lines_is_space(end[-1]))
            end--;
        while (line < end && lines_is_space(*line))
            line++;
        if (line == end || *line == '#')
            continue;
        const char *problem = read_entry(&entry, line, end);
        if (problem) {
            faults++;
            fault(lines.number, problem, context);
        } else if (!append(list, &entry)) {
            access_dispose(list);
            return -ENOMEM;
        }
    }
    return faults;
}

const char *access_find(const struct access_list *list, const char *fingerprint) {
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->entries[i].fingerprint, fingerprint) == 0)
            return list->entries[i].name;
    }
    return NULL;
}

void access_dispose(struct access_list *list) {
    free(list->entries);
    *list = (struct access_list){0};
}
