/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "check_identities.h"
#include "check_text.h"
#include "common/beneath.h"
#include "common/directory.h"
#include "common/log.h"
#include "common/settings_file.h"
#include "common/text.h"
#include "content/access.h"
#include "content/capsule.h"
#include "content/metafile.h"
#include "content/path_rules.h"
#include "content/uri_host.h"
#include "declared.h"
#include "findings.h"
#include "unused_rules.h"

#define DEPTH_MAX 64 /* levels of folders; links may form circles */

/* ---- access lists and metadata ---- */

static void check_rules_file(struct check *check, const char *path, const char *name) {
    char *text;
    struct place place = {check, path};
    long size = path_rules_read(check->capsules.folder, path, METAFILE_MAX, &text);
    int result = (int)size;
    if (size >= 0 && strcmp(name, DIRECTORY_METAFILE) == 0) {
        struct metafile meta;
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%.*s", (int)(strlen(path) - strlen("/" DIRECTORY_METAFILE)), path);
        result = metafile_parse(&meta, text, (size_t)size, take_fault, &place);
        if (result >= 0)
            result = unused_rules_report(check->capsules.folder, folder, &meta, take_remark, &place);
        metafile_dispose(&meta);
    } else if (size >= 0 && strcmp(name, DIRECTORY_ACCESS) == 0) {
        struct access_list list;
        result = access_parse(&list, text, (size_t)size, take_fault, &place);
        if (result == 0 && list.count == 0)
            find_fault(check, path, 0, WARNING, "lists no certificate, so nobody can enter this folder");
        access_dispose(&list);
    }
    free(text);
    if (result < 0)
        find_fault(check, path, 0, ERROR, "cannot be read%s", result == -EFBIG ? ": it is too long" : "");
}

/* ---- folders ---- */

/* Is it a page, or the text before a listing? */
static bool is_gemtext(const char *name) {
    const char *ending = strrchr(name, '.');
    return strcmp(name, DIRECTORY_LISTING) == 0 ||
           (ending && (strcmp(ending, ".gmi") == 0 || strcmp(ending, ".gemini") == 0));
}

/* host and url_path: see struct reading. */
static void check_file(struct check *check, const char *path, const char *name, int file, const char *host,
                       const char *url_path) {
    struct reading reading = {.path = path};
    char type[REPLY_META_MAX + 1];
    bool is_page = is_gemtext(name), is_dotfile = name[0] == '.';
    if (!is_page && is_dotfile)
        return; /* access lists and metadata have parsers of their own */
    if (!is_dotfile && declared_type(check->capsules.folder, path, type)) {
        reading.charset = declared_charset(type);
        is_page = is_page && strncmp(type, "text/gemini", 11) == 0;
        if (!is_page && strncmp(type, "text/", 5) != 0)
            return;
    } else if (!is_dotfile) {
        return; /* nobody can see it */
    }
    if (is_page)
        reading.host = host, reading.url_path = url_path;
    check_text(check, &reading, file);
}

static void check_unopened(struct check *check, const char *path, int error) {
    switch (-error) {
    case EXDEV:
        find_fault(check, path, 0, ERROR, "symbolic link leads out of %s; never served",
                   strchr(path, '/') ? "its capsule" : "the content folder");
        break;
    case ENOENT:
        find_fault(check, path, 0, ERROR, "symbolic link leads to nothing");
        break;
    case ELOOP:
        find_fault(check, path, 0, ERROR, "symbolic link leads back to itself");
        break;
    case ENXIO:
        find_fault(check, path, 0, WARNING, "not a regular file; never served");
        break;
    default:
        find_fault(check, path, 0, ERROR, "cannot be read: %s", strerror(-error));
    }
}

static void check_folder(struct check *check, const char *path, const char *host, unsigned depth);

/* path: below the content folder, beginning with the capsule's name. */
static void check_entry(struct check *check, const char *path, const char *name, const char *host, unsigned depth) {
    char encoded[GEMTEXT_LINK_MAX + 1];
    struct stat status;
    const char *in_capsule = strchr(path, '/');
    check->files++;
    if (directory_is_hidden(name)) {
        find_fault(check, path, 0, WARNING, "name begins with a dot; never served");
        return;
    }
    if (!text_is_clean(name, strlen(name))) {
        find_fault(check, path, 0, ERROR,
                   "no client can ask for this name; it must be UTF-8 without control characters");
        return;
    }
    if (text_encode_path(encoded, sizeof encoded, in_capsule) < 0 ||
        strlen("gemini://") + strlen(host) + strlen(encoded) > REQUEST_URI_MAX) {
        find_fault(check, path, 0, ERROR, "its address is longer than 1024 bytes, so no client can ask for it");
        return;
    }
    int file = beneath_open_confined(check->capsules.folder, path, BENEATH_READ);
    if (file < 0) {
        check_unopened(check, path, file);
        return;
    }
    bool known = fstat(file, &status) == 0, is_rules = name[0] == '.' && strcmp(name, ".well-known") != 0;
    bool is_file = known && S_ISREG(status.st_mode), is_folder = known && S_ISDIR(status.st_mode) && !is_rules;
    if (is_rules && !is_file)
        find_fault(check, path, 0, ERROR, "not a regular file, so the server cannot read it");
    else if (!is_file && !is_folder)
        find_fault(check, path, 0, WARNING, "not a regular file; never served");
    else if (!(status.st_mode & S_IROTH) || (is_folder && !(status.st_mode & S_IXOTH)))
        find_fault(check, path, 0, ERROR, "not readable by everyone, so the server cannot read it either (chmod o+r%s)",
                   is_folder ? "x" : "");
    if (is_file && is_rules)
        encoded[strlen(encoded) - strlen(name)] = '\0'; /* the server shows it as the page of its folder */
    if (is_file)
        check_file(check, path, name, file, host, encoded);
    close(file);
    if (is_file && is_rules)
        check_rules_file(check, path, name);
    else if (is_folder && depth < DEPTH_MAX)
        check_folder(check, path, host, depth + 1);
}

static void check_folder(struct check *check, const char *path, const char *host, unsigned depth) {
    char entry[PATH_MAX];
    char **names = NULL;
    struct stat link;
    int folder = beneath_open(check->capsules.folder, path, O_PATH | O_DIRECTORY);
    long count = folder < 0 ? folder : directory_read(folder, &names);
    if (count < 0)
        find_fault(check, path, 0, ERROR, "cannot be read: %s", strerror((int)-count));
    for (long i = 0; i < count; i++) {
        const char *name = names[i];
        int length = snprintf(entry, sizeof entry, "%s/%s", path, name), target = -1;
        if (length < 0 || (size_t)length >= sizeof entry)
            continue;
        /* Do not follow a link to one of our folders: it would be checked twice, or forever. */
        if (fstatat(folder, name, &link, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(link.st_mode))
            target = beneath_open_confined(check->capsules.folder, entry, O_PATH | O_DIRECTORY);
        if (target < 0)
            check_entry(check, entry, name, host, depth);
        else
            close(target);
    }
    directory_dispose(names, count);
    if (folder >= 0)
        close(folder);
}

/* ---- capsules ---- */

static void check_host(const char *name, void *context) {
    struct check *check = context;
    char authority[URI_HOST_SIZE];
    struct stat status;
    check->hosts++;
    if (!uri_host_write(authority, name)) {
        find_fault(
            check, name, 0, WARNING,
            "not a host name in lower case, so no client can ask for this capsule; its contents are not checked");
        return;
    }
    /* Check an alias only under its own name. */
    if (fstatat(check->capsules.folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode))
        check_folder(check, name, authority, 0);
}

static void check_top(struct check *check) {
    char **names;
    long count = directory_read(check->capsules.folder, &names);
    for (long i = 0; i < count; i++) {
        const char *name = names[i];
        struct stat status;
        int target = name[0] == '.' ? -1 : beneath_open(check->capsules.folder, name, O_PATH);
        if (name[0] != '.' && target < 0)
            check_unopened(check, name, target);
        else if (target >= 0 && fstat(target, &status) == 0 && !S_ISDIR(status.st_mode))
            find_fault(check, name, 0, WARNING, "not a folder, so not a capsule; never served");
        if (target >= 0)
            close(target);
    }
    directory_dispose(names, count);
}

/* ---- main ---- */

int check_run(const struct check_options *options) {
    struct check check = {.options = options};
    const char *plain = getenv("NO_COLOR");
    struct place place = {&check, options->settings ? options->settings : SETTINGS_PATH};
    log_limit(LOG_LEVEL_ERROR); /* check reports all faults itself, so the server's functions must not log them */
    check.colours = isatty(STDOUT_FILENO) && !(plain && plain[0]);
    settings_default(&check.settings);
    int status = settings_load(&check.settings, options->settings, take_fault, &place);
    if (status != EX_OK && status != EX_CONFIG)
        return status;
    int result = capsules_open(&check.capsules, options->content);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "content folder %s: %s; name another with --content", options->content,
                 strerror(-result));
        return EX_NOINPUT;
    }
    check.state = open(options->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
    check_top(&check);
    if (capsules_each_host(&check.capsules, check_host, &check) == 0)
        find_fault(&check, options->content, 0, ERROR,
                   "contains no capsule; create a folder in it with the name of your host");
    check_identities(&check, check.state, options->state, false);
    check_given(&check);
    if (check.state >= 0)
        close(check.state);
    capsules_close(&check.capsules);
    printf("%u error%s, %u warning%s in %u file%s of %u capsule%s\n", check.errors, text_plural(check.errors),
           check.warnings, text_plural(check.warnings), check.files, text_plural(check.files), check.hosts,
           text_plural(check.hosts));
    return !log_printed() ? EX_IOERR : check.errors > 0 || (options->strict && check.warnings > 0) ? 1 : EX_OK;
}
