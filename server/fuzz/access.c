/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Access lists: a faulty line lets nobody in, and a list that is written out and read again is the same. */
#include "fuzz.h"

#include "content/access.h"

static int faults;

static void note(unsigned line, const char *problem, void *context) {
    HOLDS(context == &faults && line > 0 && text_is_clean(problem, strlen(problem)));
    faults++;
}

static size_t count_lines(const uint8_t *bytes, size_t size) {
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += bytes[i] == '\n';
    return lines;
}

static void check_entry(const struct access_list *list, const struct access_entry *entry) {
    HOLDS(strlen(entry->fingerprint) == CLIENT_FINGERPRINT);
    HOLDS(strspn(entry->fingerprint, "0123456789abcdef") == CLIENT_FINGERPRINT);
    HOLDS(memchr(entry->name, '\0', sizeof entry->name) != NULL);
    HOLDS(text_is_clean(entry->name, strlen(entry->name)));
    const char *found = access_find(list, entry->fingerprint);
    HOLDS(found != NULL);
}

static void check_round_trip(const struct access_list *list) {
    struct access_list again;
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    HOLDS(file != NULL);
    for (size_t i = 0; i < list->count; i++)
        fprintf(file, "%s %s\n", list->entries[i].fingerprint, list->entries[i].name);
    fclose(file);
    if (length <= ACCESS_FILE_MAX) {
        HOLDS(access_parse(&again, text, length, note, &faults) == 0);
        HOLDS(again.count == list->count);
        for (size_t i = 0; i < list->count; i++) {
            HOLDS(strcmp(again.entries[i].fingerprint, list->entries[i].fingerprint) == 0);
            HOLDS(strcmp(again.entries[i].name, list->entries[i].name) == 0);
        }
        access_dispose(&again);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char nobody[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct access_list list;
    faults = 0;
    int result = access_parse(&list, (const char *)bytes, size, note, &faults);
    HOLDS(result == faults || (result < 0 && size > ACCESS_FILE_MAX && list.count == 0));
    HOLDS((size_t)faults + list.count <= count_lines(bytes, size));
    for (size_t i = 0; i < list.count; i++)
        check_entry(&list, &list.entries[i]);
    /* Every fingerprint that is let in is in the file. */
    if (memmem(bytes, size, "000000", 6) == NULL && memmem(bytes, size, "00:", 3) == NULL)
        HOLDS(access_find(&list, nobody) == NULL);
    check_round_trip(&list);
    access_dispose(&list);
    HOLDS(list.count == 0 && list.entries == NULL);
    return 0;
}
