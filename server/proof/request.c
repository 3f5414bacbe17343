/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Proofs about the request parser with cbmc, for every input up to a certain length: it stays within its memory, and
 * accepts nothing that the grammar forbids. This file contains the grammar a second time, written independently of the
 * parser.
 *
 * PART is the function below to verify, BYTES the maximum length of the input. HOLDS must be true for every input.
 * REACHED must be reached with a true condition by at least one input, which shows that no assumption excluded all
 * inputs.
 */
#include <string.h>

/* The parser only tests whether strchr finds something in a literal, and never uses the pointer itself. */
#define strchr(literal, wanted) ((char *)(size_t)is_in("" literal, (char)(wanted)))
static _Bool is_in(const char *literal, char wanted);

#include "content/request.c"

#define STRINGIFY(what) #what
#define HOLDS(condition) __CPROVER_assert(condition, "holds: " STRINGIFY(condition))
#define REACHED(condition) __CPROVER_assert(!(condition), "reached: " STRINGIFY(condition))

/* cbmc lets functions with such names return any value. */
bool nondet_bool(void);
size_t nondet_size(void);

/* ---- simple versions of C library functions ---- */

size_t strcspn(const char *text, const char *rejected) {
    HOLDS(rejected[0] != '\0' && rejected[1] == '\0'); /* the parser needs only one rejected character */
    size_t length = 0;
    while (text[length] != '\0' && text[length] != rejected[0])
        length++;
    return length;
}

void *memchr(const void *bytes, int wanted, size_t size) {
    const char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        if (at[i] == (char)wanted)
            return (void *)(at + i);
    }
    return NULL;
}

static bool is_in(const char *literal, char wanted) {
    bool found = wanted == '\0';
    for (; *literal != '\0'; literal++)
        found = found || *literal == wanted;
    return found;
}

void *memcpy(void *to, const void *from, size_t size) {
    for (size_t i = 0; i < size; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    return to;
}

/* The parser moves bytes only towards the start of the same string, so this may copy the first byte first. */
void *memmove(void *to, const void *from, size_t size) {
    HOLDS(__CPROVER_same_object(to, from) && to <= from);
    return memcpy(to, from, size);
}

/*
 * Any text with the right characters may be an address. This accepts more than a C library does, so it covers all
 * cases.
 */
int inet_pton(int family, const char *text, void *address) {
    size_t length = 0;
    for (; text[length] != '\0'; length++) {
        char byte = text[length];
        bool is_digit_of_four = (byte >= '0' && byte <= '9') || byte == '.';
        bool is_digit_of_six = (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F') || byte == ':';
        if (!is_digit_of_four && (family == AF_INET || !is_digit_of_six))
            return 0;
    }
    if (length < 2 || nondet_bool())
        return 0;
    __CPROVER_havoc_slice(address, family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr));
    return 1;
}

const char *inet_ntop(int family, const void *address, char *text, socklen_t size) {
    HOLDS(family == AF_INET6 && size >= INET6_ADDRSTRLEN && __CPROVER_r_ok(address, sizeof(struct in6_addr)));
    if (nondet_bool())
        return NULL;
    size_t length = nondet_size();
    __CPROVER_assume(length >= 2 && length < INET6_ADDRSTRLEN);
    __CPROVER_havoc_slice(text, INET6_ADDRSTRLEN);
    text[0] = text[1] = ':';
    text[length] = '\0';
    return text;
}

/*
 * ---- the grammar: RFC 3986, appendix A, and UTF-8 by RFC 3629, section 4 ----
 *
 * It is not part of the server, so cbmc does not check its memory accesses, which halves the time.
 */
#pragma CPROVER check push
#pragma CPROVER check disable "bounds"
#pragma CPROVER check disable "pointer"
#pragma CPROVER check disable "pointer-overflow"
#pragma CPROVER check disable "pointer-primitive"

static bool digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static bool hexadecimal(char byte) {
    return digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

static char small(char byte) {
    return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

/* unreserved and sub-delims: allowed in a host name without encoding */
static bool in_name(char byte) {
    switch (byte) {
    case '-':
    case '.':
    case '_':
    case '~':
    case '!':
    case '$':
    case '&':
    case '\'':
    case '(':
    case ')':
    case '*':
    case '+':
    case ',':
    case ';':
    case '=':
        return true;
    default:
        return digit(byte) || (small(byte) >= 'a' && small(byte) <= 'z');
    }
}

/* pchar and the slash between segments, except the percent sign */
static bool in_path(char byte) {
    return in_name(byte) || byte == ':' || byte == '@' || byte == '/';
}

/* printable ASCII, except what appendix C calls delimiters and RFC 2396 calls unwise */
static bool in_uri(char byte) {
    return byte > ' ' && byte < 0x7f && byte != '"' && byte != '<' && byte != '>' && byte != '\\' && byte != '^' &&
           byte != '`' && byte != '{' && byte != '|' && byte != '}';
}

/* Is every byte of this kind, or percent-encoded? */
static bool consists_of(const char *at, const char *end, bool (*kind)(char)) {
    for (; at < end; at++) {
        if (*at == '%') {
            if (end - at < 3 || !hexadecimal(at[1]) || !hexadecimal(at[2]))
                return false;
            at += 2;
        } else if (!kind(*at)) {
            return false;
        }
    }
    return true;
}

static bool in_query(char byte) {
    return in_path(byte) || byte == '?';
}

static bool is_between(char byte, unsigned char least, unsigned char most) {
    return (unsigned char)byte >= least && (unsigned char)byte <= most;
}

/* Is this UTF-8 without C0, DEL and C1? NUL ends it; no comparison accepts NUL as part of a sequence. */
static bool clean(const char *text) {
    while (*text != '\0') {
        char lead = *text++;
        if (is_between(lead, ' ', '~'))
            continue;
        int following = is_between(lead, 0xc2, 0xdf)   ? 1
                        : is_between(lead, 0xe0, 0xef) ? 2
                        : is_between(lead, 0xf0, 0xf4) ? 3
                                                       : 0;
        if (following == 0)
            return false;
        unsigned char least = lead == '\xc2' || lead == '\xe0' ? 0xa0 : lead == '\xf0' ? 0x90 : 0x80;
        unsigned char most = lead == '\xed' ? 0x9f : lead == '\xf4' ? 0x8f : 0xbf;
        for (; following > 0; following--, least = 0x80, most = 0xbf) {
            if (!is_between(*text++, least, most))
                return false;
        }
    }
    return true;
}

/* Does the path contain a segment that is "." or ".."? */
static bool has_dot_segment(const char *path) {
    for (; *path != '\0'; path++) {
        if (path[0] != '/' || path[1] != '.')
            continue;
        if (path[2] == '/' || path[2] == '\0' || (path[2] == '.' && (path[3] == '/' || path[3] == '\0')))
            return true;
    }
    return false;
}

/* authority = host [ ":" port ]; of an IP-literal, this checks only the characters: the C library checks the rest */
static bool is_authority(const char *at, const char *end) {
    const char *host = at;
    if (at < end && *at == '[') {
        for (at++; at < end && *at != ']'; at++) {
            if (!in_name(*at) && *at != ':')
                return false;
        }
        if (at == end || at == host + 1)
            return false;
        at++;
    } else {
        while (at < end && *at != ':')
            at++;
        if (!consists_of(host, at, in_name))
            return false;
    }
    if (at == end)
        return true;
    if (*at++ != ':')
        return false;
    for (; at < end; at++) {
        if (!digit(*at))
            return false;
    }
    return true;
}

/* ---- the parts of the parser ---- */

/* Assumes what find_line guarantees, which the proof "line" shows. */
static void assume_line(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        __CPROVER_assume(in_uri(bytes[i]));
}

/* A line ends with CRLF and has only URI characters before it. */
static void line(const char *bytes, size_t length) {
    struct parser parser = {.at = bytes, .end = bytes + length};
    bool has_line;
    size_t line_length;
    bool valid = find_line(&parser, &has_line, &line_length);
    HOLDS(valid || parser.problem != NULL);
    REACHED(!valid);
    REACHED(valid && !has_line);
    REACHED(valid && has_line && line_length == BYTES - 2);
    if (!valid || !has_line)
        return;
    HOLDS(line_length <= REQUEST_URI_MAX && line_length + 2 <= length);
    HOLDS(bytes[line_length] == '\r' && bytes[line_length + 1] == '\n');
    for (size_t i = 0; i < line_length; i++)
        HOLDS(in_uri(bytes[i]));
}

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ), and "gemini" is distinguished from others. */
static void scheme(const char *bytes, size_t length) {
    struct parser parser = {.at = bytes, .end = bytes + length};
    bool is_gemini;
    assume_line(bytes, length);
    bool valid = parse_scheme(&parser, &is_gemini);
    HOLDS(valid || parser.problem != NULL);
    REACHED(!valid);
    REACHED(valid && is_gemini);
    REACHED(valid && !is_gemini && length == BYTES && parser.at == parser.end);
    if (!valid)
        return;
    HOLDS(parser.at > bytes + 1 && parser.at <= parser.end && parser.at[-1] == ':');
    HOLDS(small(bytes[0]) >= 'a' && small(bytes[0]) <= 'z');
    for (const char *at = bytes; at < parser.at - 1; at++)
        HOLDS(digit(*at) || (small(*at) >= 'a' && small(*at) <= 'z') || *at == '+' || *at == '-' || *at == '.');
    HOLDS(is_gemini ==
          (parser.at - bytes == 7 && small(bytes[0]) == 'g' && small(bytes[1]) == 'e' && small(bytes[2]) == 'm' &&
           small(bytes[3]) == 'i' && small(bytes[4]) == 'n' && small(bytes[5]) == 'i'));
}

/* An authority has a host that fits, a port that is a number, and no userinfo. */
static void authority(const char *bytes, size_t length) {
    struct parser parser = {.at = bytes, .end = bytes + length};
    struct request request;
    bool servable = true, is_gemini = nondet_bool();
    assume_line(bytes, length);
    request.host[0] = '\0';
    request.host_is_address = false;
    request.port = REQUEST_DEFAULT_PORT;
    bool valid = parse_authority(&parser, is_gemini, &request, &servable);
    HOLDS(valid || parser.problem != NULL);
    REACHED(!valid);
    REACHED(valid && !servable);
    REACHED(valid && servable && length > 0 && bytes[0] == '[');
    REACHED(valid && servable && length > 0 && bytes[0] == '%' && request.port != REQUEST_DEFAULT_PORT);
    if (!valid)
        return;
    HOLDS(parser.at >= bytes && parser.at <= parser.end);
    HOLDS(parser.at == parser.end || *parser.at == '/' || *parser.at == '?');
    HOLDS(is_authority(bytes, parser.at));
    if (servable)
        HOLDS(__CPROVER_exists {
            size_t end;
            end <= HOSTNAME_MAX &&request.host[end] == '\0'
        });
    if (servable && is_gemini)
        HOLDS(request.host[0] != '\0');
}

/* A host name has no control characters and no capitals, is decoded once, and is no longer than DNS allows. */
static void name(const char *bytes, size_t length) {
    struct parser parser = {.at = bytes, .end = bytes + length};
    struct request request;
    bool servable = true;
    assume_line(bytes, length);
    bool valid = parse_reg_name(&parser, &request, &servable);
    HOLDS(valid || parser.problem != NULL);
    REACHED(!valid);
    REACHED(valid && !servable && bytes[0] != '%');
    REACHED(valid && servable && length == BYTES && parser.at == parser.end);
    if (!valid)
        return;
    HOLDS(parser.at <= parser.end && (parser.at == parser.end || *parser.at == ':'));
    HOLDS(consists_of(bytes, parser.at, in_name));
    if (!servable)
        return;
    size_t end = 0;
    for (; request.host[end] != '\0'; end++)
        HOLDS(request.host[end] != '/' && request.host[end] == small(request.host[end]));
    HOLDS(end <= HOSTNAME_MAX && clean(request.host) && (end == 0 || request.host[end - 1] != '.'));
}

/*
 * A path is decoded once and within the maximum length. A nameable path is clean, and decoding adds no slashes to it.
 */
static void path(const char *bytes, size_t length) {
    struct parser parser = {.at = bytes, .end = bytes + length};
    char decoded[REQUEST_URI_MAX + 1];
    bool nameable = true;
    assume_line(bytes, length);
    bool valid = parse_path(&parser, decoded, &nameable);
    HOLDS(valid || parser.problem != NULL);
    REACHED(!valid);
    REACHED(valid && !nameable);
    REACHED(valid && nameable && length == BYTES && decoded[BYTES - 1] == '/');
    REACHED(valid && nameable && decoded[0] == '\xc3');
    if (!valid)
        return;
    HOLDS(parser.at <= parser.end && (parser.at == parser.end || *parser.at == '?'));
    HOLDS(consists_of(bytes, parser.at, in_path));
    size_t slashes = 0, end = 0;
    for (const char *at = bytes; at < parser.at; at++)
        slashes += *at == '/';
    for (; decoded[end] != '\0'; end++)
        slashes -= decoded[end] == '/';
    HOLDS(slashes == 0);
    if (nameable)
        HOLDS(clean(decoded));
}

/* Resolving a path removes all dot segments, never makes it longer, and refuses it if it climbs above the root. */
static void segments(const char *bytes, size_t length) {
    struct parser parser = {.at = bytes, .end = bytes + length};
    char resolved[BYTES + 1], *start = resolved + BYTES - length;
    for (size_t i = 0; i < length; i++) {
        __CPROVER_assume(bytes[i] != '\0');
        start[i] = bytes[i];
    }
    start[length] = '\0';
    __CPROVER_assume(start[0] == '/');
    bool valid = resolve_dot_segments(&parser, start);
    HOLDS(valid || parser.problem != NULL);
    REACHED(!valid && bytes[1] != '.');
    REACHED(valid && length == BYTES && start[1] == '\0');
    REACHED(valid && length == BYTES && start[BYTES - 1] != '\0');

    bool climbs = false;
    int depth = 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != '/')
            continue;
        size_t dots = 0;
        while (i + 1 + dots < length && dots < 3 && bytes[i + 1 + dots] == '.')
            dots++;
        bool ends = i + 1 + dots == length || bytes[i + 1 + dots] == '/';
        depth += ends && dots == 2 ? -1 : ends && dots == 1 ? 0 : 1;
        climbs = climbs || depth < 0;
    }
    HOLDS(valid == !climbs);
    if (!valid)
        return;
    HOLDS(start[0] == '/' && !has_dot_segment(start));
}

/* query = *( pchar / "/" / "?" ), kept unchanged. */
static void query(const char *bytes, size_t length) {
    struct parser parser = {.at = bytes, .end = bytes + length};
    struct request request;
    assume_line(bytes, length);
    bool valid = parse_query(&parser, &request);
    HOLDS(valid || parser.problem != NULL);
    REACHED(!valid);
    REACHED(valid && length == BYTES && bytes[0] == '%');
    if (!valid)
        return;
    HOLDS(consists_of(bytes, parser.end, in_query) && request.has_query);
    for (size_t i = 0; i < length; i++)
        HOLDS(request.query[i] == bytes[i]);
    HOLDS(request.query[length] == '\0');
}

/* ---- the whole parser ---- */

/* gemini "://" authority path-abempty [ "?" query ]: the only form that is answered from a capsule */
static bool is_gemini_uri(const char *at, const char *end) {
    static const char start[] = "gemini://";
    for (size_t i = 0; i < sizeof(start) - 1; i++, at++) {
        if (at == end || small(*at) != start[i])
            return false;
    }
    const char *host = at;
    while (at < end && *at != '/' && *at != '?')
        at++;
    if (at == host || *host == ':' || !is_authority(host, at))
        return false;
    const char *begin = at;
    while (at < end && *at != '?')
        at++;
    return consists_of(begin, at, in_path) && (at == end || consists_of(at + 1, end, in_query));
}

/* Every request that is answered from a capsule has this form, and its path is nameable. */
static void whole(const char *bytes, size_t length) {
    struct request request;
    enum request_verdict verdict = request_parse(bytes, length, &request);
    HOLDS(verdict >= REQUEST_INCOMPLETE && verdict <= REQUEST_UNNAMEABLE);
    HOLDS(verdict != REQUEST_MALFORMED || request.problem != NULL);
    REACHED(verdict == REQUEST_MALFORMED);
    REACHED(verdict == REQUEST_FOREIGN);
    REACHED(verdict == REQUEST_VALID);
    REACHED(verdict == REQUEST_VALID && request.has_query);
#if BYTES >= 16
    REACHED(verdict == REQUEST_UNNAMEABLE); /* gemini://a/%00 */
#endif
    if (verdict == REQUEST_INCOMPLETE || verdict == REQUEST_MALFORMED)
        return;

    const char *end = bytes;
    while (end < bytes + length && *end != '\r')
        end++;
    HOLDS(bytes + length - end >= 2 && end[1] == '\n');
    HOLDS(consists_of(bytes, end, in_uri));
    for (const char *at = bytes; at < end; at++)
        HOLDS(*at != '#');
    if (verdict == REQUEST_FOREIGN)
        return;
    HOLDS(is_gemini_uri(bytes, end));
    HOLDS(request.host[0] != '\0');
    if (verdict == REQUEST_VALID)
        HOLDS(request.path[0] == '/' && clean(request.path) && !has_dot_segment(request.path));
    else
        HOLDS(request.path[0] == '\0');
}

#ifdef BEGINNING
/* Covering all lines would take too long; these have one length and the same beginning. */
int main(void) {
    char bytes[BYTES]; /* arbitrary */
    for (size_t i = 0; i < sizeof(BEGINNING) - 1; i++)
        bytes[i] = BEGINNING[i];
    PART(bytes, BYTES);
    return 0;
}
#else
/* The input is at the end of its memory, so that reading past the input is reading past the memory. */
int main(void) {
    char bytes[BYTES]; /* arbitrary */
    size_t length = nondet_size();
    __CPROVER_assume(length <= BYTES);
    PART(bytes + BYTES - length, length);
    return 0;
}
#endif
