/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "listing.h"
#include "media.h"
#include "rules.h"
#include "text.h"

#define FILE_PATH_MAX (REQUEST_HOST_MAX + REQUEST_URI_MAX + sizeof(".directory-listing-ok"))
#define PREAMBLE_MAX 65536 /* bytes */
#define ENTRIES_MAX 4096   /* a longer listing is no use to a reader */

/* Nothing of this may block: not a FIFO without a writer, nor a terminal. */
static const int file_flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;

/* A folder's name without its slash: to the name with it. Links relative to its page only work there. */
static void answer_folder(struct reply *reply, const struct request *request) {
    char target[REPLY_META_MAX + 1];
    int length = text_encode_path(target, sizeof(target), request->path);
    size_t query_length = request->has_query ? 1 + strlen(request->query) : 0;
    if (length < 0 || (size_t)length + 1 + query_length > REPLY_META_MAX) {
        reply_set(reply, STATUS_NOT_FOUND, "Not found");
        return;
    }
    char *end = target + length;
    *end++ = '/';
    if (request->has_query) {
        *end++ = '?';
        end = stpcpy(end, request->query);
    }
    *end = '\0';
    reply_set(reply, STATUS_REDIRECT_PERMANENT, target);
}

/* What was opened at `path`, which begins with the capsule's name. The reply takes the descriptor over. */
static int answer_file(const struct capsules *capsules, const char *path, int file, const struct meta_rule *rule,
                       const struct request *request, struct reply *reply) {
    struct stat status;
    int result = -ENOENT;
    if (fstat(file, &status) < 0) {
        result = -EIO;
    } else if (S_ISREG(status.st_mode)) {
        char type[REPLY_META_MAX + 1];
        meta_describe(type, rule, media_type(path), capsules->language);
        reply_set(reply, STATUS_SUCCESS, type);
        reply->body = file;
        reply->body_size = (uint64_t)status.st_size;
        return 0;
    } else if (S_ISDIR(status.st_mode) && request->path[strlen(request->path) - 1] != '/') {
        answer_folder(reply, request);
        result = 0;
    }
    close(file);
    return result;
}

/* ---- listing ---- */

/* What a visitor could get under this name, as a line of a listing. False: nothing. */
static bool describe_entry(const struct capsules *capsules, const char *path, struct listing_entry *entry) {
    struct stat status;
    int file = beneath_open(capsules->folder, path, file_flags);
    if (file < 0)
        return false;
    bool known = fstat(file, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
    close(file);
    entry->is_folder = known && S_ISDIR(status.st_mode);
    entry->size = known ? (uint64_t)status.st_size : 0;
    entry->modified = known ? status.st_mtime : 0;
    return known;
}

/*
 * Reads the names of a folder, at most ENTRIES_MAX; *more: there are others. Returns how many entries there are, or
 * -errno; the names are the caller's to free.
 */
static long read_entries(const struct capsules *capsules, const char *folder, struct listing_entry *entries,
                         bool *more) {
    char path[FILE_PATH_MAX + NAME_MAX + 1];
    long count = 0;
    int descriptor = beneath_open(capsules->folder, folder, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0)
        return descriptor;
    DIR *names = fdopendir(descriptor);
    if (!names) {
        close(descriptor);
        return -ENOMEM;
    }
    size_t length = strlen(folder);
    memcpy(path, folder, length);
    for (const struct dirent *name; (name = readdir(names));) {
        struct listing_entry entry;
        if (name->d_name[0] == '.')
            continue;
        strcpy(path + length, name->d_name);
        if (!describe_entry(capsules, path, &entry))
            continue;
        *more = count == ENTRIES_MAX;
        if (*more)
            break;
        entries[count] = entry;
        entries[count].name = strdup(name->d_name);
        if (entries[count].name)
            count++;
    }
    closedir(names);
    return count;
}

/* Says below a listing that it is not the whole. Without memory for that it stays as it is. Returns its length. */
static long add_note(char **page, long size) {
    static const char note[] = "\nThis folder holds more than is listed here.\n";
    const size_t length = sizeof(note) - 1;
    char *longer = realloc(*page, (size_t)size + length);
    if (!longer)
        return size;
    memcpy(longer + size, note, length);
    *page = longer;
    return size + (long)length;
}

/* path: of the folder, with the capsule's name before it; `end` is its end, with room for a name behind it. */
static int answer_listing(const struct capsules *capsules, char *path, char *end, const struct meta_rule *rule,
                          const struct request *request, struct reply *reply) {
    char *preamble, type[REPLY_META_MAX + 1];
    strcpy(end, ".directory-listing-ok");
    long length = rules_read(capsules->folder, path, PREAMBLE_MAX, &preamble);
    *end = '\0';
    if (length < 0)
        return length == -EFBIG ? -EIO : (int)length;
    struct listing_entry *entries = calloc(ENTRIES_MAX, sizeof *entries);
    bool more = false;
    long count = entries ? read_entries(capsules, path, entries, &more) : -ENOMEM, size = count;
    if (count >= 0)
        size = listing_write(&reply->text, request->path, length > 0 ? preamble : NULL, (size_t)length, entries,
                             (size_t)count);
    if (more && size >= 0)
        size = add_note(&reply->text, size);
    for (long i = 0; i < count; i++)
        free((void *)(uintptr_t)entries[i].name);
    free(entries);
    free(preamble);
    if (size < 0)
        return (int)size;
    char *page = reply->text;
    meta_describe(type, rule, "text/gemini", capsules->language);
    reply_set(reply, STATUS_SUCCESS, type);
    reply->text = page;
    reply->body_size = (uint64_t)size;
    return 0;
}

/* ---- the whole ---- */

/*
 * Opens what the request names; of a folder its page, whose name is put behind `end` then.
 * Returns a descriptor or -errno.
 */
static int open_page(const struct capsules *capsules, char *path, char *end) {
    static const char *const pages[] = {"index.gmi", "index.gemini"};
    int file = -ENOENT;
    if (end[-1] != '/')
        return beneath_open(capsules->folder, path, file_flags);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]) && file == -ENOENT; i++) {
        strcpy(end, pages[i]);
        file = beneath_open(capsules->folder, path, file_flags);
    }
    if (file == -ENOENT)
        strcpy(end, pages[0]);
    return file;
}

/* Metadata can be about a folder that is no longer there, by its name without the slash. */
static const struct meta_rule *find_rule(const struct capsules *capsules, const char *capsule, const char *path,
                                         const struct request *request, int file, struct meta *meta) {
    char name[REQUEST_URI_MAX + 1];
    const struct meta_rule *rule = rules_find(capsules->folder, capsule, path + strlen(capsule), meta);
    size_t length = strlen(request->path);
    if (rule || file >= 0 || length < 2 || request->path[length - 1] != '/')
        return rule;
    meta_dispose(meta);
    memcpy(name, request->path, length - 1);
    name[length - 1] = '\0';
    return rules_find(capsules->folder, capsule, name, meta);
}

int page_answer(const struct capsules *capsules, const char *capsule, const struct request *request,
                struct visitor *visitor, struct reply *reply) {
    char path[FILE_PATH_MAX];
    char *end = stpcpy(stpcpy(path, capsule), request->path);
    struct meta meta = {0};
    int result = 0;

    if (!rules_admit(capsules->folder, capsule, request->path, visitor, reply))
        return 0;
    int file = open_page(capsules, path, end);
    const struct meta_rule *rule = find_rule(capsules, capsule, path, request, file, &meta);
    if (rule && rule->kind == META_HEADER) {
        if (file >= 0)
            close(file);
        reply_set(reply, rule->status, rule->value);
    } else if (file >= 0) {
        result = answer_file(capsules, path, file, rule, request, reply);
    } else {
        result = file;
        if (file == -ENOENT && end[-1] == '/') {
            *end = '\0';
            result = answer_listing(capsules, path, end, rule, request, reply);
        }
    }
    meta_dispose(&meta);
    return result;
}
