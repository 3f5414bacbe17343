/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lines.h"

#include <string.h>

size_t lines_mark(const char *text, size_t length) {
    return length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

struct lines lines_begin(const char *text, size_t length) {
    return (struct lines){.at = text + lines_mark(text, length), .end = text + length};
}

bool lines_next(struct lines *lines, const char **line, size_t *length) {
    if (lines->at >= lines->end)
        return false;
    const char *feed = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    *line = lines->at;
    *length = (size_t)((feed ? feed : lines->end) - lines->at);
    lines->at = feed ? feed + 1 : lines->end;
    lines->number++;
    return true;
}

const char *lines_judge(const char *line, size_t length) {
    if (memchr(line, '\0', length))
        return "the line contains a NUL byte";
    return NULL;
}

bool lines_is_space(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\v' || byte == '\f';
}

char *lines_trim(char *text) {
    while (lines_is_space(*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && lines_is_space(text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

bool lines_number(const char **at, uint32_t maximum, uint32_t *number) {
    uint64_t value = 0;
    const char *start = *at;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        value = value * 10 + (uint64_t)(**at - '0');
        if (value > maximum)
            return false;
    }
    *number = (uint32_t)value;
    return *at > start;
}

bool lines_port(const char **at, uint16_t *port) {
    uint32_t number;
    if (!lines_number(at, UINT16_MAX, &number) || number == 0)
        return false;
    *port = (uint16_t)number;
    return true;
}
