/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The request line: accepted lines obey the grammar, and mean the same when they are written out and read again. */
#include "fuzz.h"

#include <strings.h>

#include "common/text.h"
#include "content/request.h"

/* ---- an independent, simple parser for accepted lines ---- */

static size_t decode(char *decoded, const char *bytes, size_t size) {
    size_t length = 0;
    for (size_t at = 0; at < size; length++) {
        if (bytes[at] == '%') {
            HOLDS(size - at >= 3);
            decoded[length] = (char)(text_hex_digit(bytes[at + 1]) * 16 + text_hex_digit(bytes[at + 2]));
            at += 3;
        } else {
            decoded[length] = bytes[at++];
        }
    }
    decoded[length] = '\0';
    return length;
}

/* Removes dot segments (RFC 3986, section 5.2.4), one at a time. Returns false if the path climbs above the root. */
static bool resolve(char *resolved, const char *path) {
    size_t starts[REQUEST_URI_MAX + 1], depth = 0, length = 0;
    bool folder = false;
    for (const char *at = path; *at == '/';) {
        size_t size = strcspn(at + 1, "/");
        folder = false;
        if (size == 2 && strncmp(at, "/..", 3) == 0) {
            if (depth == 0)
                return false;
            length = starts[--depth];
            folder = true;
        } else if (size == 1 && at[1] == '.') {
            folder = true;
        } else {
            starts[depth++] = length;
            memcpy(resolved + length, at, size + 1);
            length += size + 1;
        }
        at += size + 1;
    }
    if (folder)
        resolved[length++] = '/';
    resolved[length] = '\0';
    return true;
}

static void check_path(const struct request *request, const char *raw, size_t size) {
    char decoded[REQUEST_URI_MAX + 1], resolved[REQUEST_URI_MAX + 2];
    HOLDS(decode(decoded, raw, size) == strlen(decoded));
    HOLDS(resolve(resolved, decoded[0] == '\0' ? "/" : decoded));
    HOLDS(strcmp(resolved, request->path) == 0);
    HOLDS(request->path[0] == '/' && text_is_clean(request->path, strlen(request->path)));
    HOLDS(strstr(request->path, "/../") == NULL && strstr(request->path, "/./") == NULL);
}

static void check_port(const struct request *request, const char *raw, size_t size) {
    unsigned long port = 0;
    for (size_t i = 0; i < size; i++) {
        HOLDS(raw[i] >= '0' && raw[i] <= '9' && port <= 65535);
        port = port * 10 + (unsigned long)(raw[i] - '0');
    }
    HOLDS(request->port == (size > 0 ? port : REQUEST_DEFAULT_PORT));
}

static void check_authority(const struct request *request, const char *raw, size_t size) {
    char decoded[REQUEST_URI_MAX + 1];
    const char *close = size > 0 && raw[0] == '[' ? memchr(raw, ']', size) : NULL;
    size_t host = close ? (size_t)(close + 1 - raw) : 0;
    HOLDS(memchr(raw, '@', size) == NULL);
    while (host < size && raw[host] != ':')
        host++;
    HOLDS(host > 0);
    if (host < size)
        check_port(request, raw + host + 1, size - host - 1);
    else
        HOLDS(request->port == REQUEST_DEFAULT_PORT);
    HOLDS(request->host[0] != '\0' && text_is_clean(request->host, strlen(request->host)));
    HOLDS(strpbrk(request->host, "/@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]") == NULL || !close);
    if (close) {
        HOLDS(request->host_is_address && strchr(request->host, ':') != NULL);
    } else {
        size_t length = decode(decoded, raw, host);
        HOLDS(length == strlen(request->host) || (decoded[length - 1] == '.' && length - 1 == strlen(request->host)));
        HOLDS(strncasecmp(decoded, request->host, strlen(request->host)) == 0);
    }
}

/* line: without its CRLF. */
static void check_grammar(const struct request *request, const char *line, size_t size) {
    static const char scheme[] = "gemini://";
    const char *end = line + size, *at = line + strlen(scheme), *part = at;
    HOLDS(size <= REQUEST_URI_MAX && size > strlen(scheme) && strncasecmp(line, scheme, strlen(scheme)) == 0);
    for (const char *byte = line; byte < end; byte++)
        HOLDS(*byte > 0x20 && *byte < 0x7f && strchr("\"#<>\\^`{|}", *byte) == NULL);
    while (at < end && *at != '/' && *at != '?')
        at++;
    check_authority(request, part, (size_t)(at - part));
    for (part = at; at < end && *at != '?';)
        at++;
    check_path(request, part, (size_t)(at - part));
    HOLDS(request->has_query == (at < end));
    if (at < end) {
        HOLDS(strlen(request->query) == (size_t)(end - at - 1));
        HOLDS(memcmp(request->query, at + 1, strlen(request->query)) == 0);
    }
}

/* ---- writing a request out and reading it again ---- */

static int write_host(char *text, size_t size, const struct request *request) {
    int length = 0;
    if (strchr(request->host, ':') && request->host_is_address)
        return snprintf(text, size, "[%s]", request->host);
    for (const char *at = request->host; *at != '\0' && (size_t)length + 4 < size; at++)
        length += snprintf(text + length, size - (size_t)length, "%%%02X", (unsigned char)*at);
    return length;
}

static void check_round_trip(const struct request *request) {
    char host[3 * HOSTNAME_MAX + 8], path[3 * REQUEST_URI_MAX + 1], line[8192];
    struct request again;
    write_host(host, sizeof host, request);
    HOLDS(text_encode_path(path, sizeof path, request->path) > 0);
    int length = snprintf(line, sizeof line, "gemini://%s:%u%s%s%s\r\n", host, request->port, path,
                          request->has_query ? "?" : "", request->query);
    if (length > REQUEST_LINE_MAX)
        return;
    HOLDS(request_parse(line, (size_t)length, &again) == REQUEST_VALID);
    HOLDS(strcmp(again.host, request->host) == 0 && again.host_is_address == request->host_is_address);
    HOLDS(again.port == request->port && strcmp(again.path, request->path) == 0);
    HOLDS(again.has_query == request->has_query && strcmp(again.query, request->query) == 0);
}

/* ---- requests that arrive in pieces ---- */

/* A verdict that was given early does not change, and a line that can be answered gets no verdict before its end. */
static void check_pieces(const uint8_t *bytes, size_t size, enum request_verdict whole) {
    struct request request;
    for (size_t length = 0; length < size; length += 1 + size / 32) {
        char *piece = fuzz_copy(bytes, length);
        enum request_verdict verdict = request_parse(piece, length, &request);
        HOLDS(verdict == REQUEST_INCOMPLETE || verdict == whole);
        HOLDS(verdict == REQUEST_INCOMPLETE || verdict == REQUEST_MALFORMED || piece[length - 1] == '\n' ||
              memmem(piece, length, "\r\n", 2) != NULL);
        free(piece);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct request request;
    enum request_verdict verdict = request_parse((const char *)bytes, size, &request);
    const char *end = memmem(bytes, size, "\r\n", 2);
    size_t length = end ? (size_t)(end - (const char *)bytes) : size;
    check_pieces(bytes, size, verdict);
    switch (verdict) {
    case REQUEST_INCOMPLETE:
        HOLDS(end == NULL && size <= REQUEST_LINE_MAX);
        break;
    case REQUEST_MALFORMED:
        HOLDS(request.problem != NULL && text_is_clean(request.problem, strlen(request.problem)));
        break;
    case REQUEST_VALID:
        HOLDS(end != NULL);
        check_grammar(&request, (const char *)bytes, length);
        check_round_trip(&request);
        break;
    case REQUEST_UNNAMEABLE:
        HOLDS(end != NULL && length <= REQUEST_URI_MAX && request.host[0] != '\0' && request.path[0] == '\0');
        break;
    case REQUEST_FOREIGN:
        HOLDS(end != NULL && length <= REQUEST_URI_MAX && memchr(bytes, '#', length) == NULL);
        break;
    }
    return 0;
}
