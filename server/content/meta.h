/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Metadata files (`.meta`), in the form that agate's users know. Pure: text to rules, a path to its rule.
 *
 *   # a comment, up to the end of the line
 *   index.gmi: ;lang=en-GB                    parameters, put behind the media type that the ending gives
 *   LICENSE: text/plain; charset=utf-8        a media type, in place of it
 *   gone.gmi: 52 This page is no longer here  a whole header, whether or not there is a file
 *   drafts/wip.gmi:                           nothing: no default language here
 *
 * The name before the first `:` (or `=`) is a path relative to the file's folder. In it `*` stands for any characters
 * but a slash, `?` for one, `[abc]`, `[a-z]` and `[!abc]` for one of some, and `**` in place of a folder for any
 * number of folders. None of these matches a dot at the beginning of a name. The last rule that matches applies alone.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/text.h"
#include "reply.h"

#define META_FILE_MAX 65536 /* bytes; what is longer is not metadata */

enum meta_kind {
    META_PARAMETERS, /* value: "" or parameters with their leading semicolon */
    META_TYPE,       /* value: a media type, with parameters or without */
    META_HEADER,     /* status, and value as its META */
};

/* One line of a metadata file. The strings belong to struct meta. */
struct meta_rule {
    const char *pattern;
    enum meta_kind kind;
    enum status status;
    const char *value;
    unsigned line;
};

/* A metadata file that has been read. All zero: one without rules. */
struct meta {
    struct meta_rule *rules;
    size_t count;
    char *text;
};

/*
 * Reads a metadata file. text: `length` bytes, need not end with NUL, not kept.
 * Lines with a fault are reported and left out, the others still count.
 * Returns how many faults there were, or -errno: -ENOMEM, -EFBIG above META_FILE_MAX. On error meta is all zero.
 * The caller owns meta: meta_dispose.
 */
int meta_parse(struct meta *meta, const char *text, size_t length, text_fault *fault, void *context);

/* Gives back what the rules hold. Safe on one that is all zero or already disposed of. */
void meta_dispose(struct meta *meta);

/*
 * The rule for a file, or NULL. path: relative to the folder of the metadata file, decoded, without a leading or
 * trailing slash; for a folder's page the path of the page.
 */
const struct meta_rule *meta_find(const struct meta *meta, const char *path);

/*
 * Writes the media type of a file: what its rule says, and what goes behind it.
 * rule: NULL or one of another kind than META_HEADER. guess: the type by its ending. language: the default language or
 * languages for text/gemini, separated by commas, or NULL.
 * Returns false where it would be longer than a META may be; type is then the guess alone.
 */
bool meta_describe(char type[static REPLY_META_MAX + 1], const struct meta_rule *rule, const char *guess,
                   const char *language);

/* Is this a list of well-formed language tags, separated by commas, without spaces? */
bool meta_is_languages(const char *languages, size_t length);
