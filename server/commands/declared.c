/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "declared.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/directory.h"
#include "content/media.h"
#include "content/metafile.h"
#include "content/path_rules.h"

static void take_nothing(unsigned line, const char *problem, void *context) {
    (void)line, (void)problem, (void)context; /* reported when the metadata file itself is checked */
}

/* Returns the rule of the innermost metadata file that has one. It is valid as long as `meta`. */
static const struct metafile_rule *find_rule(int folder, const char *path, struct metafile *meta) {
    const struct metafile_rule *rule = NULL;
    for (const char *slash = strrchr(path, '/'); slash && !rule; slash = memrchr(path, '/', (size_t)(slash - path))) {
        char file[PATH_MAX + sizeof "/" DIRECTORY_METAFILE], *text;
        snprintf(file, sizeof file, "%.*s/" DIRECTORY_METAFILE, (int)(slash - path), path);
        long size = path_rules_read(folder, file, METAFILE_MAX, &text);
        if (size < 0)
            continue;
        metafile_dispose(meta);
        if (metafile_parse(meta, text, (size_t)size, take_nothing, NULL) >= 0)
            rule = metafile_find(meta, slash + 1);
        free(text);
    }
    return rule;
}

bool declared_type(int folder, const char *path, char type[static REPLY_META_MAX + 1]) {
    struct metafile meta = {0};
    const struct metafile_rule *rule = find_rule(folder, path, &meta);
    bool is_header = rule && rule->kind == METAFILE_HEADER;
    bool is_served = !is_header || rule->status == STATUS_SUCCESS;
    if (!is_header)
        metafile_describe(type, rule, media_type(path), NULL);
    else
        snprintf(type, REPLY_META_MAX + 1, "%s", rule->value);
    metafile_dispose(&meta);
    return is_served;
}

const char *declared_charset(const char *type) {
    static const char name[] = "charset=";
    for (const char *at = type; (at = strchr(at, ';'));) {
        at += 1 + strspn(at + 1, " \t");
        if (strncasecmp(at, name, sizeof name - 1) == 0)
            return at + sizeof name - 1;
    }
    return NULL;
}

bool declared_is_utf8(const char *charset) {
    static const char *const names[] = {"utf-8", "utf8", "us-ascii"};
    if (!charset)
        return true;
    charset += *charset == '"';
    size_t length = strcspn(charset, "\"; \t");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (length == strlen(names[i]) && strncasecmp(charset, names[i], length) == 0)
            return true;
    }
    return false;
}
