/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gemtext.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool gemtext_line(struct gemtext *gemtext, const char *line, size_t length, unsigned number,
                  char link[static GEMTEXT_LINK_MAX + 1]) {
    const char *end = line + length, *at = line + 2;
    if (length >= 3 && memcmp(line, "```", 3) == 0) {
        gemtext->preformatted = !gemtext->preformatted;
        gemtext->preformatted_at = number;
        return false;
    }
    if (gemtext->preformatted || length < 2 || memcmp(line, "=>", 2) != 0)
        return false;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    size_t size = 0;
    while (at + size < end && at[size] != ' ' && at[size] != '\t' && size < GEMTEXT_LINK_MAX)
        size++;
    memcpy(link, at, size);
    link[size] = '\0';
    return true;
}

/* Returns the length of the scheme of an address, without the colon; 0 if there is none (RFC 3986, section 3.1). */
static size_t scheme_length(const char *link) {
    size_t length = 0;
    if (!isalpha((unsigned char)link[0]))
        return 0;
    while (isalnum((unsigned char)link[length]) || (link[length] && strchr("+-.", link[length])))
        length++;
    return link[length] == ':' ? length : 0;
}

bool gemtext_resolve(char uri[static GEMTEXT_URI_MAX + 1], const char *link, const char *host, const char *path) {
    const size_t size = GEMTEXT_URI_MAX + 1;
    size_t scheme = scheme_length(link), folder = (size_t)(strrchr(path, '/') + 1 - path);
    int length;
    if (scheme > 0 && (scheme != 6 || strncasecmp(link, "gemini", 6) != 0))
        return false;
    if (scheme > 0)
        length = snprintf(uri, size, "%s", link);
    else if (strncmp(link, "//", 2) == 0)
        length = snprintf(uri, size, "gemini:%s", link);
    else if (link[0] == '/')
        length = snprintf(uri, size, "gemini://%s%s", host, link);
    else if (link[0] == '\0' || link[0] == '?' || link[0] == '#')
        length = snprintf(uri, size, "gemini://%s%s%s", host, path, link);
    else
        length = snprintf(uri, size, "gemini://%s%.*s%s", host, (int)folder, path, link);
    if (length < 0 || (size_t)length >= size)
        return false;
    uri[strcspn(uri, "#")] = '\0';
    return true;
}

bool gemtext_flatten(char *uri) {
    char *authority = strstr(uri, "//"), *path = authority ? authority + 2 + strcspn(authority + 2, "/?") : NULL;
    bool climbs = false;
    if (!path || *path != '/')
        return false;
    char *end = path + strcspn(path, "?"), *to = path; /* after the segments that stay */
    for (char *at = path, *next; at < end; at = next) {
        next = at + 1 + strcspn(at + 1, "/?");
        bool is_here = next - at == 2 && at[1] == '.', is_above = next - at == 3 && at[1] == '.' && at[2] == '.';
        climbs = climbs || (is_above && to == path);
        while (is_above && to > path && to[-1] != '/')
            to--;
        to -= is_above && to > path;
        if (!is_here && !is_above)
            to = (char *)memmove(to, at, (size_t)(next - at)) + (next - at);
        else if (next == end)
            *to++ = '/';
    }
    memmove(to, end, strlen(end) + 1);
    return climbs;
}
