/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "access.h"
#include "authority.h"
#include "beneath.h"
#include "capsule.h"
#include "certificate.h"
#include "fingerprint.h"
#include "gemtext.h"
#include "holding.h"
#include "hostname.h"
#include "log.h"
#include "meta.h"
#include "names.h"
#include "rules.h"
#include "settings_file.h"
#include "text.h"
#include "unmatched.h"

#define DEPTH_MAX 64 /* folders within folders; links may lead round in circles */
#define LINE_MAX_BYTES 65536
#define SOON (60 * 86400) /* seconds before the end of a certificate */

enum severity { WARNING, ERROR };

struct check {
    const struct check_options *options;
    struct capsules capsules;
    struct settings settings;
    bool colours;
    unsigned errors, warnings, files, hosts;
};

/* What a parser of lines reports into. */
struct place {
    struct check *check;
    const char *path;
};

/* ---- findings ---- */

static void find_fault(struct check *check, const char *path, unsigned line, enum severity severity, const char *format,
                       ...) __attribute__((format(printf, 5, 6)));

static void find_fault(struct check *check, const char *path, unsigned line, enum severity severity, const char *format,
                       ...) {
    char quoted[4 * PATH_MAX], number[16] = "";
    va_list arguments;
    if (line > 0)
        snprintf(number, sizeof number, ":%u", line);
    /* Names that a terminal could take for something else are shown as the log shows them. */
    printf("%s%s: %s%s:%s ", text_is_clean(path, strlen(path)) ? path : log_quote(quoted, sizeof quoted, path), number,
           !check->colours     ? ""
           : severity == ERROR ? "\033[31m"
                               : "\033[33m",
           severity == ERROR ? "error" : "warning", check->colours ? "\033[0m" : "");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    if (severity == ERROR)
        check->errors++;
    else
        check->warnings++;
}

static void take_fault(unsigned line, const char *problem, void *context) {
    const struct place *place = context;
    find_fault(place->check, place->path, line, ERROR, "%s", problem);
}

static void take_remark(unsigned line, const char *problem, void *context) {
    const struct place *place = context;
    find_fault(place->check, place->path, line, WARNING, "%s", problem);
}

/* ---- links ---- */

/* Judges an address by asking the server's own parts for it. */
static void check_link(struct check *check, const char *path, unsigned line, const char *link, const char *uri) {
    char request_line[GEMTEXT_URI_MAX + 3], quoted[4 * GEMTEXT_LINK_MAX + 3];
    struct request request;
    struct visitor nobody = {0};
    struct reply reply = {.body = -1};
    int length = snprintf(request_line, sizeof request_line, "%s\r\n", uri);
    log_quote(quoted, sizeof quoted, link);
    switch (request_parse(request_line, (size_t)length, &request)) {
    case REQUEST_VALID:
        break;
    case REQUEST_UNNAMEABLE:
        if (capsules_serve(&check->capsules, request.host, request.host_is_address))
            find_fault(check, path, line, ERROR, "the link %s leads to what no file can be named", quoted);
        return;
    case REQUEST_FOREIGN:
        return;
    default:
        find_fault(check, path, line, ERROR, "the link %s is no address that a client can ask for: %s", quoted,
                   request.problem ? request.problem : "it is incomplete");
        return;
    }
    if (!capsules_serve(&check->capsules, request.host, request.host_is_address))
        return; /* of somebody else */
    if (request.port != REQUEST_DEFAULT_PORT && !settings_has_port(&check->settings.advertised_ports, request.port))
        return; /* of another server on this host */
    capsules_answer(&check->capsules, &request, &nobody, &reply);
    char slashed[REPLY_META_MAX + 2];
    int size = text_encode_path(slashed, sizeof slashed - 1, request.path);
    if (size >= 0)
        strcpy(slashed + size, "/");
    if (reply.status == STATUS_NOT_FOUND)
        find_fault(check, path, line, ERROR, "the link %s leads to nothing", quoted);
    else if (reply.status == STATUS_GONE)
        find_fault(check, path, line, WARNING, "the link %s leads to what is gone", quoted);
    else if (reply.status == STATUS_TEMPORARY_FAILURE || reply.status == STATUS_SERVER_UNAVAILABLE)
        find_fault(check, path, line, ERROR, "the link %s leads to a failure: %s", quoted, reply.meta);
    else if (reply.status == STATUS_REDIRECT_PERMANENT && size >= 0 &&
             strncmp(reply.meta, slashed, (size_t)size + 1) == 0 && strchr("?", reply.meta[size + 1]))
        find_fault(check, path, line, WARNING, "the link %s names a folder without its slash, which costs a redirect",
                   quoted);
    reply_dispose(&reply);
}

/* ---- pages ---- */

/* What has been seen of a page's line ends. */
struct ends {
    bool bare, paired, told;
};

static void check_line_end(struct check *check, const char *path, unsigned line, struct ends *ends, bool paired) {
    ends->paired |= paired;
    ends->bare |= !paired;
    if (ends->paired && ends->bare && !ends->told) {
        find_fault(check, path, line, WARNING, "the lines of this page do not all end alike (LF, CRLF)");
        ends->told = true;
    }
}

/*
 * Reads up to the end of a line, or as much of it as there is room for. Bytes of all kinds: a NUL ends nothing.
 * Returns false at the end of the file.
 */
static bool read_line(FILE *page, char line[static LINE_MAX_BYTES], size_t *length, bool *ended) {
    int byte;
    *length = 0;
    *ended = false;
    while (!*ended && *length < LINE_MAX_BYTES && (byte = getc_unlocked(page)) != EOF) {
        line[(*length)++] = (char)byte;
        *ended = byte == '\n';
    }
    return *length > 0;
}

/* host: as it stands in an address. url_path: where the page is in its capsule, percent-encoded. */
static void check_page(struct check *check, const char *path, int file, const char *host, const char *url_path) {
    char *line = malloc(LINE_MAX_BYTES), link[GEMTEXT_LINK_MAX + 1], uri[GEMTEXT_URI_MAX + 1];
    int copy = dup(file);
    FILE *page = copy >= 0 ? fdopen(copy, "r") : NULL;
    struct gemtext gemtext = {0};
    struct ends ends = {0};
    bool begins = true, told = false, ended;
    unsigned number = 1;
    size_t length;
    while (line && page && read_line(page, line, &length, &ended)) {
        bool whole = length < LINE_MAX_BYTES || ended, paired = ended && length > 1 && line[length - 2] == '\r';
        length -= (size_t)ended + (size_t)paired;
        if (number == 1 && begins && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
            find_fault(check, path, 1, ERROR, "begins with a byte order mark, which clients show or stumble over");
        if (!told && begins && whole && !text_is_utf8(line, length)) {
            find_fault(check, path, number, ERROR, "is not UTF-8");
            told = true;
        }
        if (ended)
            check_line_end(check, path, number, &ends, paired);
        if (begins && gemtext_line(&gemtext, line, length, number, link)) {
            if (link[0] == '\0')
                find_fault(check, path, number, ERROR, "a link line without an address");
            else if (gemtext_resolve(uri, link, host, url_path))
                check_link(check, path, number, link, uri);
        }
        begins = ended; /* the rest of a line that is too long for the buffer is passed over */
        number += ended;
    }
    if (!line || !page || ferror(page))
        find_fault(check, path, 0, ERROR, "cannot be read to its end: %s", strerror(errno));
    if (gemtext.preformatted)
        find_fault(check, path, gemtext.preformatted_at, WARNING, "preformatted text begins here and has no end");
    if (page)
        fclose(page);
    else if (copy >= 0)
        close(copy);
    free(line);
}

/* ---- the owner's other files ---- */

static void check_rules_file(struct check *check, const char *path, const char *name) {
    char *text;
    struct place place = {check, path};
    long size = rules_read(check->capsules.folder, path, META_FILE_MAX, &text);
    int result = (int)size;
    if (size >= 0 && strcmp(name, ".meta") == 0) {
        struct meta meta;
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%.*s", (int)(strlen(path) - strlen("/.meta")), path);
        result = meta_parse(&meta, text, (size_t)size, take_fault, &place);
        if (result >= 0)
            result = unmatched_report(check->capsules.folder, folder, &meta, take_remark, &place);
        meta_dispose(&meta);
    } else if (size >= 0 && strcmp(name, ".access") == 0) {
        struct access_list list;
        result = access_parse(&list, text, (size_t)size, take_fault, &place);
        if (result == 0 && list.count == 0)
            find_fault(check, path, 0, WARNING, "lists nobody, so nobody may enter this folder");
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
    return strcmp(name, ".directory-listing-ok") == 0 ||
           (ending && (strcmp(ending, ".gmi") == 0 || strcmp(ending, ".gemini") == 0));
}

static bool is_known_dotfile(const char *name) {
    static const char *const names[] = {".meta", ".access", ".directory-listing-ok", ".well-known"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static void check_unopened(struct check *check, const char *path, int error) {
    switch (-error) {
    case EXDEV:
        find_fault(check, path, 0, ERROR, "is a link that leads out of %s, and is never served",
                   strchr(path, '/') ? "its capsule" : "the content folder");
        break;
    case ENOENT:
        find_fault(check, path, 0, ERROR, "is a link that leads to nothing");
        break;
    case ELOOP:
        find_fault(check, path, 0, ERROR, "is a link that leads round in a circle");
        break;
    case ENXIO:
        find_fault(check, path, 0, WARNING, "is no file, and is never served");
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
    if (name[0] == '.' && !is_known_dotfile(name)) {
        find_fault(check, path, 0, WARNING, "begins with a dot, and is never served");
        return;
    }
    if (!text_is_clean(name, strlen(name))) {
        find_fault(check, path, 0, ERROR, "has a name that no client can ask for; it has to be UTF-8 without controls");
        return;
    }
    if (text_encode_path(encoded, sizeof encoded, in_capsule) < 0 ||
        strlen("gemini://") + strlen(host) + strlen(encoded) > REQUEST_URI_MAX) {
        find_fault(check, path, 0, ERROR, "has an address of more than 1024 bytes, for which no client can ask");
        return;
    }
    int file = beneath_open_confined(check->capsules.folder, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (file < 0) {
        check_unopened(check, path, file);
        return;
    }
    bool known = fstat(file, &status) == 0, is_rules = name[0] == '.' && strcmp(name, ".well-known") != 0;
    bool is_file = known && S_ISREG(status.st_mode), is_folder = known && S_ISDIR(status.st_mode) && !is_rules;
    if (is_rules && !is_file)
        find_fault(check, path, 0, ERROR, "is no file, so the server cannot read it");
    else if (!is_file && !is_folder)
        find_fault(check, path, 0, WARNING, "is no file, and is never served");
    else if (!(status.st_mode & S_IROTH) || (is_folder && !(status.st_mode & S_IXOTH)))
        find_fault(check, path, 0, ERROR, "is not readable for everybody, so not for the server either (chmod o+r%s)",
                   is_folder ? "x" : "");
    if (is_file && is_rules)
        encoded[strlen(encoded) - strlen(name)] = '\0'; /* it is shown as the page of its folder */
    if (is_file && is_gemtext(name))
        check_page(check, path, file, host, encoded);
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
    long count = folder < 0 ? folder : names_read(folder, &names);
    if (count < 0)
        find_fault(check, path, 0, ERROR, "cannot be read: %s", strerror((int)-count));
    for (long i = 0; i < count; i++) {
        const char *name = names[i];
        int length = snprintf(entry, sizeof entry, "%s/%s", path, name), target = -1;
        if (length < 0 || (size_t)length >= sizeof entry)
            continue;
        /* A link to a folder of ours is looked at where that folder is; it would be looked at twice, or for ever. */
        if (fstatat(folder, name, &link, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(link.st_mode))
            target = beneath_open_confined(check->capsules.folder, entry, O_PATH | O_DIRECTORY);
        if (target < 0)
            check_entry(check, entry, name, host, depth);
        else
            close(target);
    }
    names_dispose(names, count);
    if (folder >= 0)
        close(folder);
}

/* ---- capsules ---- */

static void check_host(const char *name, void *context) {
    struct check *check = context;
    char authority[AUTHORITY_SIZE];
    struct stat status;
    check->hosts++;
    if (!authority_write(authority, name)) {
        find_fault(
            check, name, 0, WARNING,
            "is no name of a host in lower case, so nobody can ask for this capsule; what is in it is not looked "
            "at");
        return;
    }
    /* An alias is looked at under its own name only. */
    if (fstatat(check->capsules.folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode))
        check_folder(check, name, authority, 0);
}

static void check_top(struct check *check) {
    char **names;
    long count = names_read(check->capsules.folder, &names);
    for (long i = 0; i < count; i++) {
        const char *name = names[i];
        struct stat status;
        int target = name[0] == '.' ? -1 : beneath_open(check->capsules.folder, name, O_PATH);
        if (name[0] != '.' && target < 0)
            check_unopened(check, name, target);
        else if (target >= 0 && fstat(target, &status) == 0 && !S_ISDIR(status.st_mode))
            find_fault(check, name, 0, WARNING, "is no folder, so no capsule; it is never served");
        if (target >= 0)
            close(target);
    }
    names_dispose(names, count);
}

/* ---- identities ---- */

static void check_identity(struct check *check, int folder, const char *name) {
    char path[PATH_MAX], host[CERTIFICATE_HOST_MAX + 1];
    struct certificate_facts facts;
    snprintf(path, sizeof path, "%s/%s", check->options->state, name);
    if (faccessat(folder, name, R_OK, 0) < 0 && errno == EACCES)
        return; /* not for everybody's eyes */
    /* This does not read on to the private key behind the certificate. */
    const char *problem = fingerprint_examine(folder, name, &facts);
    if (problem) {
        find_fault(check, path, 0, ERROR, "%s", problem);
        return;
    }
    long long left = (long long)facts.ends - (long long)time(NULL);
    if (left < 0)
        find_fault(check, path, 0, ERROR, "the certificate is past its end; renew it with vitrine renew");
    else if (left < SOON)
        find_fault(check, path, 0, WARNING, "the certificate ends in %lld days; renew it with vitrine renew",
                   left / 86400);
    if (holding_host_of(name, false, host) && certificate_match(facts.names, host) == CERTIFICATE_OTHER)
        find_fault(check, path, 0, WARNING, "the certificate does not name its host, which some clients refuse");
    certificate_facts_dispose(&facts);
}

static void check_identities(struct check *check) {
    char **names;
    int folder = open(check->options->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return; /* there is none, or it is not for everybody's eyes */
    long count = names_read(folder, &names);
    for (long i = 0; i < count; i++) {
        const char *ending = strrchr(names[i], '.');
        if (ending && strcmp(ending, ".pem") == 0)
            check_identity(check, folder, names[i]);
    }
    names_dispose(names, count);
    close(folder);
}

/* ---- the whole ---- */

int check_run(const struct check_options *options) {
    struct check check = {.options = options};
    const char *plain = getenv("NO_COLOR");
    struct place place = {&check, options->settings ? options->settings : SETTINGS_PATH};
    log_limit(LOG_LEVEL_ERROR); /* what the server's parts would log of faults is told here in full */
    check.colours = isatty(STDOUT_FILENO) && !(plain && plain[0]);
    settings_default(&check.settings);
    int status = settings_load(&check.settings, options->settings, take_fault, &place);
    if (status != EX_OK && status != EX_CONFIG)
        return status;
    int result = capsules_open(&check.capsules, options->content);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "content folder %s: %s; name one with --content", options->content,
                 strerror(-result));
        return EX_NOINPUT;
    }
    check_top(&check);
    if (capsules_each_host(&check.capsules, check_host, &check) == 0)
        find_fault(&check, options->content, 0, ERROR,
                   "holds no capsule; make a folder in it that is named like your host");
    check_identities(&check);
    capsules_close(&check.capsules);
    printf("%u errors, %u warnings in %u files of %u capsules\n", check.errors, check.warnings, check.files,
           check.hosts);
    return fflush(stdout) != 0 ? EX_IOERR : check.errors > 0 || (options->strict && check.warnings > 0) ? 1 : EX_OK;
}
