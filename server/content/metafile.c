/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "metafile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/lines.h"

/* ---- Patterns ---- */

/*
 * set = "[" [ "!" ] 1*( character [ "-" character ] ) "]"; a "]" in first place is one of the characters. *at is after
 * the "[" and is moved past the "]". Returns false if the set is not closed.
 */
static bool match_set(const char **at, const char *end, uint32_t character, bool *matches) {
    bool negated = *at < end && **at == '!';
    bool found = false;
    *at += negated ? 1 : 0;
    for (bool first = true;; first = false) {
        uint32_t low, high;
        if (*at < end && **at == ']' && !first) {
            ++*at;
            *matches = found != negated;
            return true;
        }
        if (!text_next(at, end, &low))
            return false;
        high = low;
        if (end - *at >= 2 && (*at)[0] == '-' && (*at)[1] != ']') {
            ++*at;
            if (!text_next(at, end, &high))
                return false;
        }
        found = found || (character >= low && character <= high);
    }
}

/* Matches one element of a pattern, but not `*`, with one character of a name. */
static bool match_one(const char **pattern, const char *pattern_end, const char **name, const char *name_end) {
    uint32_t wanted, character;
    bool matches = false;
    if (!text_next(name, name_end, &character) || !text_next(pattern, pattern_end, &wanted))
        return false;
    if (wanted == '?')
        return true;
    if (wanted == '[')
        return match_set(pattern, pattern_end, character, &matches) && matches;
    return wanted == character;
}

/* Does one name of a path match one of a pattern? On a mismatch, only the last `*` needs to take one more character. */
static bool match_name(const char *pattern, size_t pattern_length, const char *name, size_t name_length) {
    const char *pattern_end = pattern + pattern_length, *name_end = name + name_length;
    const char *star = NULL, *star_name = NULL;
    if (name_length > 0 && *name == '.' && (pattern_length == 0 || *pattern != '.'))
        return false;
    while (name < name_end || pattern < pattern_end) {
        const char *next_pattern = pattern, *next_name = name;
        if (pattern < pattern_end && *pattern == '*') {
            star = ++pattern;
            star_name = name;
        } else if (pattern < pattern_end && match_one(&next_pattern, pattern_end, &next_name, name_end)) {
            pattern = next_pattern;
            name = next_name;
        } else {
            uint32_t character;
            if (star == NULL || !text_next(&star_name, name_end, &character))
                return false;
            pattern = star;
            name = star_name;
        }
    }
    return true;
}

/* Returns the next name, or the end. */
static const char *next_name(const char *at) {
    at += strcspn(at, "/");
    return *at == '/' ? at + 1 : at;
}

static bool is_any_folders(const char *pattern) {
    return strncmp(pattern, "**", 2) == 0 && strcspn(pattern, "/") == 2;
}

/*
 * The same one level higher, with `**` for names. Going back to the last `**` is enough here, too: it never takes names
 * that begin with a dot, and only literal names match those.
 */
static bool match_path(const char *pattern, const char *path) {
    const char *star = NULL, *star_path = NULL;
    while (*path != '\0' || *pattern != '\0') {
        if (is_any_folders(pattern)) {
            star = pattern = next_name(pattern);
            star_path = path;
            if (*pattern == '\0' && *path == '\0')
                return false; /* `**` at the end matches the contents of a folder, not the folder */
        } else if (*path != '\0' && *pattern != '\0' &&
                   match_name(pattern, strcspn(pattern, "/"), path, strcspn(path, "/"))) {
            pattern = next_name(pattern);
            path = next_name(path);
        } else {
            if (star == NULL || *star_path == '\0' || *star_path == '.')
                return false;
            path = star_path = next_name(star_path);
            pattern = star;
        }
    }
    return true;
}

/* Returns NULL, or what is wrong with the pattern. */
static const char *judge_pattern(const char *pattern) {
    if (*pattern == '\0')
        return "missing pattern before the colon";
    if (*pattern == '/')
        return "the pattern begins with a slash; write it relative to this folder";
    for (const char *name = pattern; *name != '\0'; name = next_name(name)) {
        size_t length = strcspn(name, "/");
        if (length == 0)
            return "the pattern contains two slashes in a row";
        if (strncmp(name, "..", length) == 0)
            return length == 1 ? "the pattern contains `.` as a folder"
                               : "the pattern contains `..`; put the rule into the folder above";
        if (name[length] == '/' && name[length + 1] == '\0')
            return "the name ends with a slash; rules are for files, so name those in the folder: `folder/*`";
        for (const char *at = name; at < name + length;) {
            bool matches;
            if (strncmp(at, "**", 2) == 0 && length != 2)
                return "`**` must stand alone between slashes";
            if (*at++ == '[' && !match_set(&at, name + length, 0, &matches))
                return "the bracket in the name is not closed";
        }
    }
    return NULL;
}

/* ---- Values ---- */

/* token of RFC 2045, section 5.1 */
static size_t token_length(const char *text) {
    size_t length = 0;
    while (text[length] > 0x20 && text[length] < 0x7f && strchr("()<>@,;:\\\"/[]?=", text[length]) == NULL)
        length++;
    return length;
}

bool metafile_is_languages(const char *languages, size_t length) {
    const char *end = languages + length;
    for (const char *tag = languages;; tag++) {
        const char *tag_end = tag;
        while (tag_end < end && *tag_end != ',')
            tag_end++;
        if (!text_is_language(tag, (size_t)(tag_end - tag)))
            return false;
        if (tag_end == end)
            return true;
        tag = tag_end;
    }
}

/* quoted-string of RFC 5322, section 3.2.4. Returns its length with the quotes, 0 if it is not closed. */
static size_t quoted_length(const char *text) {
    for (size_t length = 1; text[length] != '\0'; length++) {
        if (text[length] == '"')
            return length + 1;
        if (text[length] == '\\' && text[++length] == '\0')
            break;
    }
    return 0;
}

/* *( ";" token "=" ( token / quoted-string ) ). NULL, or what is wrong. */
static const char *judge_parameters(const char *text) {
    while (*text != '\0') {
        while (lines_is_space(*text))
            text++;
        if (*text++ != ';')
            return "unexpected text after the media type; parameters begin with a semicolon, and values with commas or "
                   "spaces need double quotes";
        while (lines_is_space(*text))
            text++;
        size_t name_length = token_length(text);
        const char *value = text + name_length + 1;
        if (name_length == 0 || text[name_length] != '=')
            return "expected a parameter of the form `;name=value`";
        bool quoted = *value == '"';
        size_t length = quoted ? quoted_length(value) : token_length(value);
        if (length == 0)
            return quoted ? "missing closing quote" : "a parameter has no value";
        if (name_length == 4 && strncasecmp(text, "lang", 4) == 0 &&
            !metafile_is_languages(quoted ? value + 1 : value, quoted ? length - 2 : length))
            return "`lang` must be a language tag (BCP 47), such as `;lang=en` or `;lang=\"en,fr\"`";
        text = value + length;
    }
    return NULL;
}

static const char *judge_type(const char *text) {
    size_t type = token_length(text);
    size_t subtype = type > 0 && text[type] == '/' ? token_length(text + type + 1) : 0;
    if (subtype == 0)
        return "expected a media type (`text/plain`), parameters (`;lang=en`) or a header (`52 Gone`)";
    return judge_parameters(text + type + 1 + subtype);
}

/* The META of a redirect is a URI-reference (RFC 3986, section 4.1); this checks only its characters. */
static bool is_reference(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '%' && (text_hex_digit(text[1]) < 0 || text_hex_digit(text[2]) < 0))
            return false;
        if (*text <= 0x20 || *text >= 0x7f || strchr("\"<>\\^`{|}", *text) != NULL)
            return false;
    }
    return true;
}

/* header = status [ " " META ]. NULL, or what is wrong. */
static const char *judge_header(char *text, struct metafile_rule *rule) {
    if (text[1] < '0' || text[1] > '9' || (text[2] != '\0' && !lines_is_space(text[2])))
        return "a header must begin with a status of two digits and a space";
    int status = (text[0] - '0') * 10 + (text[1] - '0');
    if (!reply_status_exists(status))
        return "the Gemini protocol has no such status";
    rule->kind = METAFILE_HEADER;
    rule->status = (enum status)status;
    rule->value = lines_trim(text + 2);
    if (rule->value[0] == '\0' && status < STATUS_TEMPORARY_FAILURE)
        return "this status needs a text after it";
    if (!reply_meta_is_clean(rule->value))
        return "the text after the status is longer than 1024 bytes or contains control characters";
    if (status == STATUS_SUCCESS)
        return judge_type(rule->value);
    if (status / 10 == 3 && !is_reference(rule->value))
        return "the target of a redirect must be a URI reference; write a space as %20";
    return NULL;
}

static const char *judge_value(char *text, struct metafile_rule *rule) {
    if (*text >= '1' && *text <= '6')
        return judge_header(text, rule);
    rule->kind = *text == '\0' || *text == ';' ? METAFILE_PARAMETERS : METAFILE_TYPE;
    rule->value = text;
    if (!reply_meta_is_clean(text))
        return "the media type is longer than 1024 bytes or contains control characters";
    return rule->kind == METAFILE_PARAMETERS ? judge_parameters(text) : judge_type(text);
}

/* ---- Lines ---- */

struct reader {
    struct metafile *meta;
    size_t room;   /* capacity of meta->rules */
    bool skipping; /* in a section other than [mime] */
};

static int add_rule(struct reader *reader, const struct metafile_rule *rule) {
    struct metafile *meta = reader->meta;
    if (meta->count == reader->room) {
        size_t room = reader->room > 0 ? 2 * reader->room : 8;
        struct metafile_rule *longer = reallocarray(meta->rules, room, sizeof(*longer));
        if (longer == NULL)
            return -ENOMEM;
        meta->rules = longer;
        reader->room = room;
    }
    meta->rules[meta->count++] = *rule;
    return 0;
}

/*
 * line = [ pattern ( ":" / "=" ) value ] [ "#" comment ]
 *
 * agate reads its files as INI: only the section `[mime]` counts, which is also the default at the beginning. *problem:
 * NULL, or what is wrong. Returns 0 or -ENOMEM.
 */
static int read_line(struct reader *reader, char *line, unsigned number, const char **problem) {
    struct metafile_rule rule = {.line = number};
    *problem = NULL;
    line[strcspn(line, "#")] = '\0';
    line = lines_trim(line);
    size_t length = strlen(line);
    if (length == 0)
        return 0;
    if (line[0] == '[' && line[length - 1] == ']') {
        reader->skipping = strcmp(line, "[mime]") != 0;
        if (reader->skipping)
            *problem = "unknown section; only [mime] exists, and the rules in this one are ignored";
        return 0;
    }
    if (reader->skipping)
        return 0;

    size_t name_length = strcspn(line, ":=");
    if (line[name_length] == '\0') {
        *problem = "missing colon after the pattern";
        return 0;
    }
    line[name_length] = '\0';
    char *pattern = lines_trim(line);
    if (strncmp(pattern, "./", 2) == 0)
        pattern += 2;
    rule.pattern = pattern;
    *problem = judge_pattern(pattern);
    if (*problem == NULL)
        *problem = judge_value(lines_trim(line + name_length + 1), &rule);
    return *problem == NULL ? add_rule(reader, &rule) : 0;
}

int metafile_parse(struct metafile *meta, const char *text, size_t length, text_fault *fault, void *context) {
    struct reader reader = {.meta = meta};
    int result = 0, faults = 0;
    const char *line;
    size_t line_length;
    *meta = (struct metafile){0};
    if (length > METAFILE_MAX)
        return -EFBIG;
    meta->text = malloc(length + 1);
    if (meta->text == NULL)
        return -ENOMEM;
    memcpy(meta->text, text, length);
    meta->text[length] = '\0';

    struct lines lines = lines_begin(meta->text, length);
    while (result == 0 && lines_next(&lines, &line, &line_length)) {
        char *own = meta->text + (line - meta->text); /* its rules keep what they need of it */
        const char *problem = lines_judge(line, line_length);
        own[line_length] = '\0';
        if (problem == NULL && !text_is_utf8(line, line_length))
            problem = "the line is not UTF-8";
        if (problem == NULL)
            result = read_line(&reader, own, lines.number, &problem);
        if (problem != NULL) {
            faults++;
            fault(lines.number, problem, context);
        }
    }
    if (result < 0) {
        metafile_dispose(meta);
        return result;
    }
    return faults;
}

void metafile_dispose(struct metafile *meta) {
    free(meta->rules);
    free(meta->text);
    *meta = (struct metafile){0};
}

/* Does the path begin as the pattern does, up to its first special character? Most rules are for other files. */
static bool begins_alike(const char *pattern, const char *path) {
    for (; *pattern != '\0' && strchr("*?[", *pattern) == NULL; pattern++, path++) {
        if (*pattern != *path)
            return false;
    }
    return true;
}

const struct metafile_rule *metafile_find(const struct metafile *meta, const char *path) {
    for (size_t i = meta->count; i > 0; i--) {
        const char *pattern = meta->rules[i - 1].pattern;
        if (begins_alike(pattern, path) && match_path(pattern, path))
            return &meta->rules[i - 1];
    }
    return NULL;
}

bool metafile_describe(char type[static REPLY_META_MAX + 1], const struct metafile_rule *rule, const char *guess,
                       const char *language) {
    const size_t size = REPLY_META_MAX + 1;
    int length;
    if (rule != NULL && rule->kind == METAFILE_TYPE)
        length = snprintf(type, size, "%s", rule->value);
    else if (rule != NULL)
        length = snprintf(type, size, "%s%s", guess, rule->value);
    else if (language == NULL || strcmp(guess, "text/gemini") != 0)
        length = snprintf(type, size, "%s", guess);
    else if (strchr(language, ',') != NULL)
        length = snprintf(type, size, "%s; lang=\"%s\"", guess, language);
    else
        length = snprintf(type, size, "%s; lang=%s", guess, language);
    if (length >= 0 && (size_t)length < size)
        return true;
    snprintf(type, size, "%s", guess);
    return false;
}
