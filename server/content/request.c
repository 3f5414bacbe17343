/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "request.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/text.h"

/*
 * The grammar, from RFC 3986, appendix A, as restricted by the Gemini protocol:
 *
 *   request   = absolute-URI CRLF                          at most 1024 bytes before CRLF
 *   absolute-URI = scheme ":" hier-part [ "?" query ]      a fragment is not part of it
 *   hier-part = "//" authority path-abempty                the only form for gemini
 *             / path-absolute / path-rootless / path-empty
 *   authority = host [ ":" port ]                          userinfo is ruled out
 */

/* A part of the bytes, and the parser's position in it. */
struct parser {
    const char *at;
    const char *end;
    const char *problem; /* what is wrong, after a parser has returned false */
};

static bool fail(struct parser *parser, const char *problem) {
    parser->problem = problem;
    return false;
}

static bool is_alpha(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static char to_lower(char byte) {
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

/* unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~" */
static bool is_unreserved(char byte) {
    return is_alpha(byte) || is_digit(byte) || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

/* sub-delims = "!" / "$" / "&" / "'" / "(" / ")" / "*" / "+" / "," / ";" / "=" */
static bool is_sub_delim(char byte) {
    return byte != '\0' && strchr("!$&'()*+,;=", byte) != NULL;
}

/* Can this byte occur in a URI? gen-delims = ":" / "/" / "?" / "#" / "[" / "]" / "@" */
static bool is_uri_byte(char byte) {
    return is_unreserved(byte) || is_sub_delim(byte) || (byte != '\0' && strchr(":/?#[]@%", byte) != NULL);
}

/* pct-encoded = "%" HEXDIG HEXDIG. Reads one byte of text and decodes it if it is encoded. */
static bool parse_byte(struct parser *parser, char *byte, bool *encoded) {
    *encoded = *parser->at == '%';
    if (!*encoded) {
        *byte = *parser->at++;
        return true;
    }
    if (parser->end - parser->at < 3 || text_hex_digit(parser->at[1]) < 0 || text_hex_digit(parser->at[2]) < 0)
        return fail(parser, "a percent sign is not followed by two hexadecimal digits");
    *byte = (char)(text_hex_digit(parser->at[1]) << 4 | text_hex_digit(parser->at[2]));
    parser->at += 3;
    return true;
}

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ), and the ":" after it. */
static bool parse_scheme(struct parser *parser, bool *is_gemini) {
    const char *start = parser->at;
    if (parser->at == parser->end)
        return fail(parser, "the request is empty");
    if (!is_alpha(*parser->at))
        return fail(parser, "the URI does not begin with a scheme");
    while (parser->at < parser->end &&
           (is_alpha(*parser->at) || is_digit(*parser->at) || strchr("+-.", *parser->at) != NULL))
        parser->at++;
    if (parser->at == parser->end || *parser->at != ':')
        return fail(parser, "the URI has no scheme");

    static const char gemini[] = "gemini";
    *is_gemini = parser->at - start == sizeof(gemini) - 1;
    for (size_t i = 0; *is_gemini && i < sizeof(gemini) - 1; i++)
        *is_gemini = to_lower(start[i]) == gemini[i];
    parser->at++;
    return true;
}

/*
 * IP-literal = "[" ( IPv6address / IPvFuture ) "]"
 *
 * IPvFuture = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
 *
 * The address is stored in the form of RFC 5952, so that it can be compared. `servable` becomes false for IPvFuture,
 * because nobody has such an address.
 */
static bool parse_ip_literal(struct parser *parser, struct request *request, bool *servable) {
    const char *start = ++parser->at;
    const char *close = memchr(start, ']', (size_t)(parser->end - start));
    if (close == NULL)
        return fail(parser, "missing closing bracket of an address");
    size_t length = (size_t)(close - start);
    parser->at = close + 1;

    if (length > 0 && to_lower(*start) == 'v') {
        const char *at = start + 1;
        while (at < close && text_hex_digit(*at) >= 0)
            at++;
        bool valid = at > start + 1 && at < close && *at == '.' && at + 1 < close;
        for (at++; valid && at < close; at++)
            valid = is_unreserved(*at) || is_sub_delim(*at) || *at == ':';
        if (!valid)
            return fail(parser, "invalid address between the brackets");
        *servable = false;
        return true;
    }

    char literal[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (length >= sizeof(literal))
        return fail(parser, "invalid address between the brackets");
    memcpy(literal, start, length);
    literal[length] = '\0';
    if (inet_pton(AF_INET6, literal, &address) != 1 ||
        inet_ntop(AF_INET6, &address, request->host, sizeof(request->host)) == NULL)
        return fail(parser, "invalid address between the brackets");
    request->host_is_address = true;
    return true;
}

/*
 * reg-name = *( unreserved / pct-encoded / sub-delims )
 *
 * An IPv4 address has this form as well (RFC 3986, section 3.2.2). `servable` becomes false if the name is longer than
 * any DNS name, or ends with an empty label: valid syntax, but nobody has such a name.
 */
static bool parse_reg_name(struct parser *parser, struct request *request, bool *servable) {
    char name[REQUEST_URI_MAX + 1] = "";
    size_t length = 0;
    char byte;
    bool encoded;
    while (parser->at < parser->end && *parser->at != ':') {
        if (!parse_byte(parser, &byte, &encoded))
            return false;
        if (encoded ? byte == '/' : !is_unreserved(byte) && !is_sub_delim(byte))
            return fail(parser, "the host contains an invalid character");
        name[length++] = to_lower(byte);
    }
    if (!text_is_clean(name, length))
        return fail(parser, "the host contains an invalid character");
    if (length > 0 && name[length - 1] == '.')
        length--; /* the explicit root of DNS */
    if (length > HOSTNAME_MAX || (length > 0 && name[length - 1] == '.')) {
        *servable = false;
        return true;
    }
    memcpy(request->host, name, length);
    request->host[length] = '\0';
    struct in_addr address;
    request->host_is_address = inet_pton(AF_INET, request->host, &address) == 1;
    return true;
}

/* port = *DIGIT; an empty one is the scheme's own (RFC 3986, section 3.2.3). */
static bool parse_port(struct parser *parser, uint16_t *port) {
    uint32_t value = 0;
    if (parser->at == parser->end)
        return true;
    for (; parser->at < parser->end; parser->at++) {
        if (!is_digit(*parser->at))
            return fail(parser, "the port is not a number");
        value = value * 10 + (uint32_t)(*parser->at - '0');
        if (value > UINT16_MAX)
            return fail(parser, "the port is above 65535");
    }
    *port = (uint16_t)value;
    return true;
}

/* authority = host [ ":" port ] */
static bool parse_authority(struct parser *parser, bool is_gemini, struct request *request, bool *servable) {
    struct parser part = {.at = parser->at, .end = parser->at};
    while (part.end < parser->end && strchr("/?", *part.end) == NULL)
        part.end++;
    parser->at = part.end;

    bool valid;
    if (memchr(part.at, '@', (size_t)(part.end - part.at)) != NULL)
        valid = fail(&part, "the URI contains userinfo");
    else if (part.at < part.end && *part.at == '[')
        valid = parse_ip_literal(&part, request, servable);
    else
        valid = parse_reg_name(&part, request, servable);

    if (valid && part.at < part.end) {
        if (*part.at++ != ':')
            valid = fail(&part, "unexpected text after the host");
        else
            valid = parse_port(&part, &request->port);
    }
    if (valid && is_gemini && *servable && request->host[0] == '\0')
        valid = fail(&part, "the URI names no host");
    parser->problem = part.problem;
    return valid;
}

/*
 * path-abempty = *( "/" segment ), segment = *pchar, pchar = unreserved / pct-encoded / sub-delims / ":" / "@"
 *
 * Decodes once. `nameable` becomes false if a decoded byte cannot be in a file name; such bytes are replaced, so that
 * the dot segments around them can still be checked.
 */
static bool parse_path(struct parser *parser, char path[static REQUEST_URI_MAX + 1], bool *nameable) {
    size_t length = 0;
    char byte;
    bool encoded;
    while (parser->at < parser->end && *parser->at != '?') {
        if (!parse_byte(parser, &byte, &encoded))
            return false;
        if (!encoded && !is_unreserved(byte) && !is_sub_delim(byte) && strchr(":@/", byte) == NULL)
            return fail(parser, "the path contains a character that must be percent-encoded");
        if (encoded && (byte == '/' || byte == '\0')) {
            *nameable = false;
            byte = '_';
        }
        path[length++] = byte;
    }
    path[length] = '\0';
    if (!text_is_clean(path, length))
        *nameable = false;
    return true;
}

/*
 * remove_dot_segments (RFC 3986, section 5.2.4), in place, on a decoded path that begins with a slash. The RFC drops a
 * `..` above the root; here it is an error, because no honest client sends it.
 */
static bool resolve_dot_segments(struct parser *parser, char *path) {
    const char *in = path;
    char *out = path;
    while (*in == '/') {
        size_t length = strcspn(in + 1, "/");
        bool is_last = in[1 + length] == '\0';
        if (length == 1 && in[1] == '.') {
            if (is_last)
                *out++ = '/';
        } else if (length == 2 && in[1] == '.' && in[2] == '.') {
            if (out == path)
                return fail(parser, "the path climbs above the root");
            while (*--out != '/')
                ;
            if (is_last)
                *out++ = '/';
        } else {
            memmove(out, in, length + 1);
            out += length + 1;
        }
        in += length + 1;
    }
    *out = '\0';
    return true;
}

/* query = *( pchar / "/" / "?" ) */
static bool parse_query(struct parser *parser, struct request *request) {
    const char *start = parser->at;
    char byte;
    bool encoded;
    while (parser->at < parser->end) {
        if (!parse_byte(parser, &byte, &encoded))
            return false;
        if (!encoded && !is_unreserved(byte) && !is_sub_delim(byte) && strchr(":@/?", byte) == NULL)
            return fail(parser, "the query contains a character that must be percent-encoded");
    }
    size_t length = (size_t)(parser->end - start);
    memcpy(request->query, start, length);
    request->query[length] = '\0';
    request->has_query = true;
    return true;
}

static bool parse_uri(struct parser *parser, struct request *request, enum request_verdict *verdict) {
    bool is_gemini = false, servable = true, nameable = true, has_authority = false;
    if (memchr(parser->at, '#', (size_t)(parser->end - parser->at)) != NULL)
        return fail(parser, "the URI holds a fragment");
    if (!parse_scheme(parser, &is_gemini))
        return false;
    if (parser->end - parser->at >= 2 && parser->at[0] == '/' && parser->at[1] == '/') {
        has_authority = true;
        parser->at += 2;
        if (!parse_authority(parser, is_gemini, request, &servable))
            return false;
    }
    if (is_gemini && !has_authority)
        return fail(parser, "the URI names no host");
    if (!parse_path(parser, request->path, &nameable))
        return false;
    if (is_gemini && request->path[0] == '\0')
        strcpy(request->path, "/");
    if (is_gemini && !resolve_dot_segments(parser, request->path))
        return false;
    if (parser->at < parser->end) {
        parser->at++;
        if (!parse_query(parser, request))
            return false;
    }

    if (!is_gemini || !servable) {
        *verdict = REQUEST_FOREIGN;
    } else if (!nameable) {
        request->path[0] = '\0';
        *verdict = REQUEST_UNNAMEABLE;
    } else {
        *verdict = REQUEST_VALID;
    }
    return true;
}

/*
 * Looks for the end of the line. Returns false if the line can no longer become valid. `has_line`: CRLF was found; the
 * URI then has `length` bytes. Skips a bare LF: it does not end a request, and gets no response until CRLF follows.
 */
static bool find_line(struct parser *parser, bool *has_line, size_t *length) {
    const char *start = parser->at;
    bool has_line_feed = false;
    *has_line = false;
    for (const char *at = start; at < parser->end; at++) {
        if (*at == '\r') {
            if (at + 1 == parser->end)
                return true;
            if (at[1] != '\n')
                return fail(parser, "carriage return without line feed");
            if (has_line_feed)
                return fail(parser, "line feed without carriage return");
            *has_line = true;
            *length = (size_t)(at - start);
            return true;
        }
        if (at - start >= REQUEST_URI_MAX)
            return fail(parser, "the URI is longer than 1024 bytes");
        if (*at == '\n')
            has_line_feed = true;
        else if (!is_uri_byte(*at))
            return fail(parser, "the line contains a character that is invalid in a URI");
    }
    return true;
}

enum request_verdict request_parse(const char *bytes, size_t length, struct request *request) {
    struct parser parser = {.at = bytes, .end = bytes + length};
    enum request_verdict verdict = REQUEST_INCOMPLETE;
    bool has_line = false;
    size_t line_length = 0;

    request->host[0] = request->path[0] = request->query[0] = '\0';
    request->host_is_address = request->has_query = false;
    request->port = REQUEST_DEFAULT_PORT;
    request->problem = NULL;

    if (length == 0)
        return REQUEST_INCOMPLETE;
    bool valid = find_line(&parser, &has_line, &line_length);
    if (valid && has_line) {
        parser.end = parser.at + line_length;
        valid = parse_uri(&parser, request, &verdict);
    }
    if (!valid) {
        request->problem = parser.problem;
        return REQUEST_MALFORMED;
    }
    return verdict;
}
