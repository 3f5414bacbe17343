/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "media.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Made by media-table.sh: media_endings and media_types (concatenated strings), and media_table (where an ending and
 * its type begin in them, sorted by ending). It has offsets instead of pointers, because a table of pointers would be
 * relocated at each start and could not be shared.
 */
#include "media-table.h"

/* Types that the package does not have, or that Gemini defines differently. */
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

/* Returns the type for an ending in lower case, or NULL. */
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

    /*
     * From the left, because some endings contain a dot (`sarif.json`). A leading dot hides a file and begins no
     * ending.
     */
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
