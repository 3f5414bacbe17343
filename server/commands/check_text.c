/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "check_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hostname.h"
#include "common/lines.h"
#include "common/log.h"
#include "common/text.h"
#include "content/capsule.h"
#include "declared.h"
#include "keys/identity_file.h"

/* ---- links ---- */

/* Is there a capsule with this name? */
static bool serves(const struct check *check, const char *host) {
    return capsules_serve(&check->capsules, host, false);
}

/* Does this name belong to this machine, or to a capsule that is or was here? */
static bool is_of_this_server(const struct check *check, const struct request *request) {
    char canonical[HOSTNAME_MAX + 1], file[IDENTITY_FILE_NAME_MAX + 1], other[HOSTNAME_MAX + 5];
    const char *host = request->host;
    struct stat status;
    if (strcmp(host, "localhost") == 0 || (request->host_is_address && hostname_is_loopback(host)))
        return true;
    /* Does a link to a missing folder, or an identity of a former capsule, have this name? */
    if (fstatat(check->capsules.folder, host, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    if (check->state >= 0 && hostname_canonical(canonical, host) && identity_file_is_host(canonical) &&
        identity_file_path(check->state, canonical, IDENTITY_FILE_PRESENT, file))
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
static bool read_line(FILE *page, char line[static CHECK_LINE_MAX], size_t *length, bool *ended) {
    int byte;
    *length = 0;
    *ended = false;
    while (!*ended && *length < CHECK_LINE_MAX && (byte = getc_unlocked(page)) != EOF) {
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

void check_text(struct check *check, struct reading *reading, int file) {
    char *line = malloc(CHECK_LINE_MAX);
    int copy = dup(file);
    FILE *text = copy >= 0 ? fdopen(copy, "r") : NULL;
    bool begins = true, ended;
    unsigned number = 1;
    size_t length;
    while (line && text && read_line(text, line, &length, &ended)) {
        bool whole = begins && (length < CHECK_LINE_MAX || ended);
        bool paired = ended && length > 1 && line[length - 2] == '\r';
        length -= (size_t)ended + (size_t)paired;
        if (reading->url_path && number == 1 && begins && lines_mark(line, length) > 0)
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
