/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pages in text/gemini: the first line of the input is the page's own path, the others are its lines. */
#include "fuzz.h"

#include <strings.h>

#include "commands/gemtext.h"
#include "content/request.h"

static void check_link(const char *link, const char *path) {
    char uri[GEMTEXT_URI_MAX + 1], line[GEMTEXT_URI_MAX + 3];
    struct request request;
    if (!gemtext_resolve(uri, link, "example.org", path))
        return;
    HOLDS(strlen(uri) <= GEMTEXT_URI_MAX && strchr(uri, '#') == NULL);
    HOLDS(strncasecmp(uri, "gemini:", 7) == 0);
    size_t size = strlen(uri);
    bool climbs = gemtext_flatten(uri);
    HOLDS(strlen(uri) <= size);
    HOLDS(!gemtext_flatten(uri)); /* flattening twice changes nothing */
    int length = snprintf(line, sizeof line, "%s\r\n", uri);
    enum request_verdict verdict = request_parse(line, (size_t)length, &request);
    HOLDS(!climbs || verdict != REQUEST_MALFORMED || !strstr(request.problem, "climbs") || strchr(uri, '%') != NULL);
    HOLDS(verdict != REQUEST_INCOMPLETE || strpbrk(uri, "\r\n") != NULL);
    /* An absolute URI leads to the same place from every page. */
    if (verdict == REQUEST_VALID) {
        char again[GEMTEXT_URI_MAX + 1];
        HOLDS(gemtext_resolve(again, uri, "elsewhere.example", "/other/page") && strcmp(again, uri) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct gemtext gemtext = {0};
    const char *text = (const char *)bytes, *end = text + size;
    char path[REQUEST_URI_MAX + 1] = "/", link[GEMTEXT_LINK_MAX + 1];
    for (unsigned number = 0; text < end; number++) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((line_end ? line_end : end) - text);
        if (number == 0) {
            snprintf(path, sizeof path, "/%.*s", (int)(length < 1000 ? length : 1000), text);
        } else {
            char *line = fuzz_copy(text, length);
            bool before = gemtext.preformatted;
            memset(link, 'x', sizeof link);
            if (gemtext_line(&gemtext, line, length, number, link)) {
                HOLDS(!before && !gemtext.preformatted && length >= 2 && memcmp(line, "=>", 2) == 0);
                HOLDS(memchr(link, '\0', sizeof link) != NULL && strpbrk(link, " \t\n") == NULL);
                check_link(link, path);
            }
            HOLDS(before == gemtext.preformatted || (length >= 3 && memcmp(line, "```", 3) == 0));
            HOLDS(before || !gemtext.preformatted || gemtext.preformatted_at == number);
            free(line);
        }
        text += length + 1;
    }
    return 0;
}
