/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "listing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lines.h"
#include "common/text.h"

#define NAME_MAX_BYTES 255
#define LINK_MAX (3 * NAME_MAX_BYTES + 1) /* each byte as %HH, and NUL */

/* Can a client ask for this name, and may it be listed? */
static bool is_listed(const char *name) {
    size_t length = strnlen(name, NAME_MAX_BYTES + 1);
    return name[0] != '.' && length > 0 && length <= NAME_MAX_BYTES && text_is_clean(name, length);
}

static int compare_entries(const void *left, const void *right) {
    const struct listing_entry *a = left, *b = right;
    if (a->is_folder != b->is_folder)
        return a->is_folder ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* "0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB": rounded down, so that 1000 of a unit never appears. */
static void write_size(char *text, size_t room, uint64_t size) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    uint64_t tenths = 0;
    for (; size >= 1000; unit++) {
        tenths = size % 1000 / 100;
        size /= 1000;
    }
    if (unit > 0 && size < 10)
        snprintf(text, room, "%" PRIu64 ".%" PRIu64 " %s", size, tenths, units[unit]);
    else
        snprintf(text, room, "%" PRIu64 " %s", size, units[unit]);
}

/*
 * A link line: `=> URL label`. Without `./`, a colon in the first segment of a relative reference would turn the text
 * before it into a scheme (RFC 3986, section 4.2).
 */
static void write_entry(FILE *out, const struct listing_entry *entry) {
    char link[LINK_MAX];
    const char *slash = entry->is_folder ? "/" : "";
    text_encode_path(link, sizeof(link), entry->name);
    fprintf(out, "=> %s%s%s %s%s", strchr(link, ':') != NULL ? "./" : "", link, slash, entry->name, slash);
    if (!entry->is_folder) {
        char size[32], date[32] = "";
        struct tm day;
        write_size(size, sizeof(size), entry->size);
        if (gmtime_r(&entry->modified, &day) != NULL)
            strftime(date, sizeof(date), ", %Y-%m-%d", &day);
        fprintf(out, " (%s%s)", size, date);
    }
    fputc('\n', out);
}

static void write_preamble(FILE *out, const char *path, const char *preamble, size_t length) {
    size_t mark = lines_mark(preamble, length); /* some clients would show it as text in the middle of a page */
    preamble += mark;
    length -= mark;
    if (length == 0) {
        fprintf(out, "# %s\n\n", path);
        return;
    }
    fwrite(preamble, 1, length, out);
    if (preamble[length - 1] != '\n')
        fputc('\n', out);
}

long listing_write(char **page, const char *path, const char *preamble, size_t length, struct listing_entry *entries,
                   size_t count) {
    size_t size = 0;
    *page = NULL;
    FILE *out = open_memstream(page, &size);
    if (out == NULL)
        return -ENOMEM;
    if (count > 0)
        qsort(entries, count, sizeof(*entries), compare_entries);
    write_preamble(out, path, preamble, length);
    for (size_t i = 0; i < count; i++) {
        if (is_listed(entries[i].name))
            write_entry(out, &entries[i]);
    }
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(*page);
        *page = NULL;
        return -ENOMEM;
    }
    return (long)size;
}
