/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Metadata files: an accepted rule gives a header that can be sent, and applies as metafile.h describes. The last line
 * of the input is also the path to find a rule for.
 */
#include "fuzz.h"

#include "content/metafile.h"

static int faults;

static void note(unsigned line, const char *problem, void *context) {
    HOLDS(context == &faults && line > 0 && text_is_clean(problem, strlen(problem)));
    faults++;
}

/* ---- patterns as metafile.h describes them, by trying every possible match ---- */

#define STEPS_MAX 200000

static unsigned steps;

static bool in_set(const char **pattern, const char *end, uint32_t character) {
    bool negated = **pattern == '!', found = false;
    uint32_t low, high;
    *pattern += negated;
    for (bool first = true; first || **pattern != ']'; first = false) {
        HOLDS(text_next(pattern, end, &low));
        high = low;
        if (end - *pattern >= 2 && (*pattern)[0] == '-' && (*pattern)[1] != ']') {
            ++*pattern;
            HOLDS(text_next(pattern, end, &high));
        }
        found |= character >= low && character <= high;
        HOLDS(*pattern < end);
    }
    ++*pattern;
    return found != negated;
}

static bool name_fits(const char *pattern, const char *pattern_end, const char *name, const char *name_end) {
    uint32_t wanted, character;
    if (++steps > STEPS_MAX)
        return false;
    if (pattern == pattern_end)
        return name == name_end;
    if (*pattern == '*') {
        if (name_fits(pattern + 1, pattern_end, name, name_end))
            return true;
        return name < name_end && text_next(&name, name_end, &character) &&
               name_fits(pattern, pattern_end, name, name_end);
    }
    if (name == name_end || !text_next(&name, name_end, &character))
        return false;
    HOLDS(text_next(&pattern, pattern_end, &wanted));
    if (wanted == '[' ? !in_set(&pattern, pattern_end, character) : wanted != '?' && wanted != character)
        return false;
    return name_fits(pattern, pattern_end, name, name_end);
}

static const char *name_end(const char *at) {
    return at + strcspn(at, "/");
}

static const char *name_behind(const char *at) {
    at = name_end(at);
    return *at == '/' ? at + 1 : at;
}

static bool path_fits(const char *pattern, const char *path) {
    if (++steps > STEPS_MAX)
        return false;
    if (*pattern == '\0')
        return *path == '\0';
    if (name_end(pattern) - pattern == 2 && strncmp(pattern, "**", 2) == 0) {
        const char *rest = name_behind(pattern);
        if (*rest != '\0' && path_fits(rest, path))
            return true;
        if (*path == '\0' || *path == '.')
            return false;
        path = name_behind(path);
        return (*rest == '\0' && *path == '\0') || path_fits(pattern, path);
    }
    if (*path == '\0' || (*path == '.' && *pattern != '.'))
        return false;
    return name_fits(pattern, name_end(pattern), path, name_end(path)) &&
           path_fits(name_behind(pattern), name_behind(path));
}

static void check_find(const struct metafile *meta, const char *path) {
    const struct metafile_rule *found = metafile_find(meta, path), *expected = NULL;
    if (path[0] == '\0' || path[0] == '/' || strstr(path, "//") || path[strlen(path) - 1] == '/' ||
        !text_is_clean(path, strlen(path)))
        return; /* no request has such a path */
    steps = 0;
    for (size_t i = meta->count; i > 0 && !expected && steps <= STEPS_MAX; i--) {
        if (path_fits(meta->rules[i - 1].pattern, path))
            expected = &meta->rules[i - 1];
    }
    HOLDS(steps > STEPS_MAX || found == expected);
}

/* ---- rules ---- */

/* A rule's header is sent unchanged; reply_header would replace an invalid META. */
static void check_header(enum status status, const char *text) {
    char header[REPLY_HEADER_MAX], expected[REPLY_HEADER_MAX + 1];
    struct reply reply = {.body = -1};
    reply_set(&reply, status, text);
    size_t length = reply_header(&reply, header);
    int size = snprintf(expected, sizeof expected, "%d%s%s\r\n", (int)status, text[0] ? " " : "", text);
    HOLDS(reply.status == status && (size_t)size == length && memcmp(header, expected, length) == 0);
}

static void check_rule(const struct metafile_rule *rule) {
    char type[REPLY_META_MAX + 1];
    const char *pattern = rule->pattern;
    HOLDS(pattern[0] != '\0' && pattern[0] != '/' && rule->line > 0);
    for (const char *name = pattern; *name != '\0'; name = name_behind(name)) {
        size_t length = (size_t)(name_end(name) - name);
        HOLDS(length > 0 && !(length <= 2 && strncmp(name, "..", length) == 0));
    }
    if (rule->kind == METAFILE_HEADER) {
        HOLDS(reply_status_exists((int)rule->status));
        check_header(rule->status, rule->value);
        return;
    }
    HOLDS(rule->kind != METAFILE_PARAMETERS || rule->value[0] == '\0' || rule->value[0] == ';');
    HOLDS(rule->kind != METAFILE_TYPE || strchr(rule->value, '/') != NULL);
    if (metafile_describe(type, rule, "text/gemini", "en"))
        HOLDS(rule->kind != METAFILE_TYPE || strcmp(type, rule->value) == 0);
    else
        HOLDS(strcmp(type, "text/gemini") == 0);
    check_header(STATUS_SUCCESS, type);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char *const paths[] = {"index.gmi", "a/b/c.txt", ".well-known/x", "a/.hidden/b",
                                        "\xc3\xa9/\xe2\x82\xac"};
    struct metafile meta;
    faults = 0;
    int result = metafile_parse(&meta, (const char *)bytes, size, note, &faults);
    HOLDS(result == faults || (result < 0 && size > METAFILE_MAX && meta.count == 0));
    for (size_t i = 0; i < meta.count; i++) {
        check_rule(&meta.rules[i]);
        if (i < 8)
            check_find(&meta, meta.rules[i].pattern);
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        check_find(&meta, paths[i]);
    const uint8_t *last = memrchr(bytes, '\n', size);
    if (last) {
        char *path = fuzz_string(last + 1, (size_t)(bytes + size - last - 1));
        check_find(&meta, path);
        free(path);
    }
    metafile_dispose(&meta);
    return 0;
}
