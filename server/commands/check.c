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

#include "common/beneath.h"
#include "common/directory.h"
#include "common/hostname.h"
#include "common/log.h"
#include "common/settings_file.h"
#include "common/text.h"
#include "content/access.h"
#include "content/capsule.h"
#include "content/metafile.h"
#include "content/path_rules.h"
#include "content/uri_host.h"
#include "declared.h"
#include "fingerprint.h"
#include "gemtext.h"
#include "keys/identity_file.h"
#include "protocol/certificate.h"
#include "unused_rules.h"

#define DEPTH_MAX 64 /* levels of folders; links may form circles */
#define LINE_MAX_BYTES 65536
#define SOON (60 * 86400) /* seconds before a certificate expires */

enum severity { WARNING, ERROR };

struct check {
    const struct check_options *options;
    struct capsules capsules;
    struct settings settings;
    bool colours;
    int state; /* the state folder, or -1 */
    unsigned errors, warnings, files, hosts;
};

/* Where a line parser reports faults. */
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
    /* Names with bytes that a terminal might interpret are shown as in the log. */
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

/* Is there a capsule with this name? */
static bool serves(const struct check *check, const char *host) {
    return capsules_serve(&check->capsules, host, false);
}

/* Does this name stand for this machine, or for a capsule that is or was here? */
static bool is_of_this_server(const struct check *check, const struct request *request) {
    char canonical[HOSTNAME_MAX + 1], file[IDENTITY_FILE_NAME_MAX + 1], other[HOSTNAME_MAX + 5];
    const char *host = request->host;
    struct stat status;
    if (strcmp(host, "localhost") == 0 ||
        (request->host_is_address && (strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0)))
        return true;
    /* Does a link to a missing folder, or an identity of a former capsule, have this name? */
    if (fstatat(check->capsules.folder, host, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    if (check->state >= 0 && hostname_canonical(canonical, host) && identity_file_is_host(canonical) &&
        identity_file_path(check->state, canonical, ".pem", file))
        return true;
    snprintf(other, sizeof other, "www.%s", host);
    return serves(check, strncmp(host, "www.", 4) == 0 ? host + 4 : other);
}

/* Reports a link to a capsule that is not on this server. */
static void check_elsewhere(struct check *check, const char *path, unsigned line, const char *quoted,
                            const struct request *request) {
    bool is_port =
        request->port == REQUEST_DEFAULT_PORT || settings_has_port(&check->settings.advertised_ports, request->port);
    if (is_port && is_of_this_server(check, request))
        find_fault(check, path, line, WARNING,
                   "link %s points to a host that this server does not serve; if the host is yours, create a folder "
                   "with its name, or a symbolic link to one",
                   quoted);
}

/* Checks an address by requesting it from the server's own functions. */
static void check_link(struct check *check, const char *path, unsigned line, const char *link, char *uri) {
    char request_line[GEMTEXT_URI_MAX + 3], quoted[4 * GEMTEXT_LINK_MAX + 3];
    struct request request;
    struct client nobody = {0};
    struct reply reply = {.body = -1};
    log_quote(quoted, sizeof quoted, link);
    if (gemtext_flatten(uri))
        find_fault(check, path, line, WARNING, "link %s climbs above the root; clients ignore the extra `..`", quoted);
    int length = snprintf(request_line, sizeof request_line, "%s\r\n", uri);
    switch (request_parse(request_line, (size_t)length, &request)) {
    case REQUEST_VALID:
        break;
    case REQUEST_UNNAMEABLE:
        if (capsules_serve(&check->capsules, request.host, request.host_is_address))
            find_fault(check, path, line, ERROR, "link %s can never name a file", quoted);
        return;
    case REQUEST_FOREIGN:
        return;
    default:
        find_fault(check, path, line, ERROR, "link %s is not a valid address: %s", quoted,
                   request.problem ? request.problem : "it is incomplete");
        return;
    }
    if (!capsules_serve(&check->capsules, request.host, request.host_is_address)) {
        check_elsewhere(check, path, line, quoted, &request);
        return;
    }
    if (request.port != REQUEST_DEFAULT_PORT && !settings_has_port(&check->settings.advertised_ports, request.port))
        return; /* a port of another server on this host */
    capsules_answer(&check->capsules, &request, &nobody, &reply);
    char slashed[REPLY_META_MAX + 2];
    int size = text_encode_path(slashed, sizeof slashed - 1, request.path);
    if (size >= 0)
        strcpy(slashed + size, "/");
    if (reply.status == STATUS_NOT_FOUND)
        find_fault(check, path, line, ERROR, "link %s points to nothing", quoted);
    else if (reply.status == STATUS_GONE)
        find_fault(check, path, line, WARNING, "link %s points to a page that .meta declares gone", quoted);
    else if (reply.status == STATUS_TEMPORARY_FAILURE || reply.status == STATUS_SERVER_UNAVAILABLE)
        find_fault(check, path, line, ERROR, "link %s leads to a failure: %s", quoted, reply.meta);
    else if (reply.status == STATUS_REDIRECT_PERMANENT && size >= 0 &&
             strncmp(reply.meta, slashed, (size_t)size + 1) == 0 && strchr("?", reply.meta[size + 1]))
        find_fault(check, path, line, WARNING,
                   "link %s names a folder without a final slash, so each visit needs a redirect", quoted);
    reply_dispose(&reply);
}

/* ---- text ---- */

/* A text that is read line by line, and what was found so far. */
struct reading {
    const char *path;
    const char *host, *url_path; /* host and path of a page in its address, percent-encoded; NULL for other text */
    const char *charset;         /* declared_charset */
    struct gemtext gemtext;
    bool bare, paired, told_ends, told_bytes, told_return;
};

/* Line endings matter in pages only: clients show other text as it is. */
static void check_line_end(struct check *check, struct reading *reading, unsigned line, bool paired) {
    reading->paired |= paired;
    reading->bare |= !paired;
    if (reading->url_path && reading->paired && reading->bare && !reading->told_ends) {
        find_fault(check, reading->path, line, WARNING, "this page mixes line endings (LF and CRLF)");
        reading->told_ends = true;
    }
}

/* Checks the bytes of a line, or of a part of a line that is too long (whole: false). */
static void check_bytes(struct check *check, struct reading *reading, const char *line, size_t length, unsigned number,
                        bool whole) {
    bool is_utf8 = declared_is_utf8(reading->charset);
    if (is_utf8 && !reading->told_bytes && whole && !text_is_utf8(line, length)) {
        if (reading->charset)
            find_fault(check, reading->path, number, ERROR, "is not UTF-8, although .meta says so");
        else
            find_fault(check, reading->path, number, reading->url_path ? ERROR : WARNING,
                       "is not UTF-8; convert it, or declare its charset in .meta, for example: ;charset=iso-8859-1");
        reading->told_bytes = true;
    }
    if (is_utf8 && !reading->told_return && memchr(line, '\r', length)) {
        find_fault(check, reading->path, number, WARNING, "a carriage return without a line feed does not end a line");
        reading->told_return = true;
    }
}

/*
 * Reads up to the end of a line, or as much of it as fits. Accepts any bytes; a NUL does not end the line. Returns
 * false at the end of the file.
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

static void check_line(struct check *check, struct reading *reading, const char *line, size_t length, unsigned number) {
    char link[GEMTEXT_LINK_MAX + 1], uri[GEMTEXT_URI_MAX + 1];
    if (!gemtext_line(&reading->gemtext, line, length, number, link))
        return;
    if (link[0] == '\0')
        find_fault(check, reading->path, number, ERROR, "link line has no address");
    else if (gemtext_resolve(uri, link, reading->host, reading->url_path))
        check_link(check, reading->path, number, link, uri);
}

static void check_text(struct check *check, struct reading *reading, int file) {
    char *line = malloc(LINE_MAX_BYTES);
    int copy = dup(file);
    FILE *text = copy >= 0 ? fdopen(copy, "r") : NULL;
    bool begins = true, ended;
    unsigned number = 1;
    size_t length;
    while (line && text && read_line(text, line, &length, &ended)) {
        bool whole = begins && (length < LINE_MAX_BYTES || ended);
        bool paired = ended && length > 1 && line[length - 2] == '\r';
        length -= (size_t)ended + (size_t)paired;
        if (reading->url_path && number == 1 && begins && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
            find_fault(check, reading->path, 1, ERROR,
                       "begins with a byte order mark, which some clients show or reject");
        check_bytes(check, reading, line, length, number, whole);
        if (ended)
            check_line_end(check, reading, number, paired);
        if (reading->url_path && begins)
            check_line(check, reading, line, length, number);
        begins = ended; /* skip the rest of a line that is too long for the buffer */
        number += ended;
    }
    if (!line || !text || ferror(text))
        find_fault(check, reading->path, 0, ERROR, "reading stopped before the end: %s", strerror(errno));
    if (reading->gemtext.preformatted)
        find_fault(check, reading->path, reading->gemtext.preformatted_at, WARNING,
                   "preformatted text begins here and never ends");
    if (text)
        fclose(text);
    else if (copy >= 0)
        close(copy);
    free(line);
}

/* ---- the owner's other files ---- */

static void check_rules_file(struct check *check, const char *path, const char *name) {
    char *text;
    struct place place = {check, path};
    long size = path_rules_read(check->capsules.folder, path, METAFILE_MAX, &text);
    int result = (int)size;
    if (size >= 0 && strcmp(name, ".meta") == 0) {
        struct metafile meta;
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%.*s", (int)(strlen(path) - strlen("/.meta")), path);
        result = metafile_parse(&meta, text, (size_t)size, take_fault, &place);
        if (result >= 0)
            result = unused_rules_report(check->capsules.folder, folder, &meta, take_remark, &place);
        metafile_dispose(&meta);
    } else if (size >= 0 && strcmp(name, ".access") == 0) {
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
    return strcmp(name, ".directory-listing-ok") == 0 ||
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

/* ---- identities ---- */

/* name: a file with a given identity, or one in the state folder. */
static void judge_certificate(struct check *check, const char *path, const char *name, bool given,
                              const struct certificate_facts *facts) {
    const char *advice = given ? "install a renewed one" : "renew it with: vitrinectl renew";
    char host[CERTIFICATE_HOST_MAX + 1];
    long long now = (long long)time(NULL), left = (long long)facts->ends - now;
    if (left < 0)
        find_fault(check, path, 0, ERROR,
                   "the certificate expired %lld days ago; the server still uses it, and clients warn their users; %s",
                   -left / 86400, advice);
    else if (left < SOON)
        find_fault(check, path, 0, WARNING, "the certificate expires in %lld days; %s", left / 86400, advice);
    if ((long long)facts->begins > now)
        find_fault(check, path, 0, WARNING, "the certificate is not valid yet; check the clock of this machine");
    if (facts->has_unicode)
        find_fault(check, path, 0, WARNING,
                   "the certificate contains a name with letters outside ASCII, which some clients reject; %s",
                   given ? "install one that spells it as in DNS (xn--...)" : advice);
    if (facts->names[0] == '\0')
        find_fault(check, path, 0, WARNING,
                   "the certificate has no subject alternative name, so some clients reject it");
    else if (identity_file_host_of(name, given, host) && strcmp(host, "default") != 0 &&
             certificate_match(facts->names, host) == CERTIFICATE_OTHER)
        find_fault(check, path, 0, given ? ERROR : WARNING, "the certificate does not name its host%s",
                   given ? ", so the server does not use it" : ", so some clients reject it");
}

static void check_identity(struct check *check, int folder, const char *folder_name, const char *name, bool given) {
    char path[PATH_MAX];
    struct certificate_facts facts;
    snprintf(path, sizeof path, "%s/%s", folder_name, name);
    if (faccessat(folder, name, R_OK, 0) < 0 && errno == EACCES)
        return; /* not readable for everybody */
    /* This does not read a private key after the certificate. */
    const char *problem = fingerprint_examine(folder, name, &facts);
    if (problem) {
        find_fault(check, path, 0, ERROR, "%s", problem);
        return;
    }
    judge_certificate(check, path, name, given, &facts);
    certificate_facts_dispose(&facts);
}

/* Does nothing if the folder does not exist or cannot be read. */
static void check_identities(struct check *check, int folder, const char *folder_name, bool given) {
    char **names;
    long count = folder < 0 ? 0 : directory_read(folder, &names);
    for (long i = 0; i < count; i++) {
        const char *ending = strrchr(names[i], '.');
        bool is_ours = given ? strncmp(names[i], "identity", 8) == 0 : true;
        if (is_ours && ending && strcmp(ending, ".pem") == 0)
            check_identity(check, folder, folder_name, names[i], given);
    }
    if (count > 0)
        directory_dispose(names, count);
}

/* Checks given identities where the server would read them in a container. */
static void check_given(struct check *check) {
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    int folder = credentials ? open(credentials, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    check_identities(check, folder, credentials, true);
    if (folder >= 0)
        close(folder);
}

/* ---- the whole ---- */

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
    printf("%u errors, %u warnings in %u files of %u capsules\n", check.errors, check.warnings, check.files,
           check.hosts);
    return !log_printed() ? EX_IOERR : check.errors > 0 || (options->strict && check.warnings > 0) ? 1 : EX_OK;
}
