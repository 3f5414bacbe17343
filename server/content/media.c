/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "media.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Made by media-table.sh: media_endings, media_types (strings one behind the other) and media_table (where in these
 * an ending and its type begin, sorted by ending). Offsets in place of pointers: a table of pointers would have to be
 * relocated at each start and could not be shared.
 */
#include "media-table.h"

/* What the package does not know or what Gemini has settled otherwise. */
static const struct {
    const char *ending, *type;
} own_types[] = {
    {"gmi", "text/gemini"},
    {"gemini", "text/gemini"},
    {"gpub", "application/gpub+zip"},
};

static int compare_ending(const void *key, const void *entry) {
    const struct media_table_entry *candidate = entry;
    return strcmp(key, media_endings + candidate->ending);
}

/* The type for an ending in lower case, or NULL. */
static const char *type_of_ending(const char *ending) {
    for (size_t i = 0; i < sizeof(own_types) / sizeof(own_types[0]); i++) {
        if (strcmp(ending, own_types[i].ending) == 0)
            return own_types[i].type;
    }
    const struct media_table_entry *entry = bsearch(ending, media_table, sizeof(media_table) / sizeof(media_table[0]),
                                                    sizeof(media_table[0]), compare_ending);
    return entry != NULL ? media_types + entry->type : NULL;
}

const char *media_type(const char *name) {
    const char *slash = strrchr(name, '/');
    const char *base = slash != NULL ? slash + 1 : name;

    /* From the left, as there are endings with a dot inside (`sarif.json`). A dot in front hides, and ends nothing. */
    const char *dot = *base != '\0' ? strchr(base + 1, '.') : NULL;
    for (; dot != NULL; dot = strchr(dot + 1, '.')) {
        char ending[MEDIA_ENDING_MAX + 1];
        size_t length = strlen(dot + 1);
        if (length > MEDIA_ENDING_MAX)
            continue;
        for (size_t i = 0; i <= length; i++)
            ending[i] = dot[1 + i] >= 'A' && dot[1 + i] <= 'Z' ? (char)(dot[1 + i] - 'A' + 'a') : dot[1 + i];
        const char *type = type_of_ending(ending);
        if (type != NULL)
            return type;
    }
    return "application/octet-stream";
}
