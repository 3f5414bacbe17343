/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "content/request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verdict_names[] = {"incomplete", "valid", "malformed", "foreign", "unnameable"};

/* Parses a copy of exactly this size, so that the sanitizer detects reads past the end. */
static enum request_verdict parse(const char *bytes, size_t length, struct request *request) {
    char *copy = malloc(length > 0 ? length : 1);
    cr_assert_not_null(copy);
    memcpy(copy, bytes, length);
    memset(request, 0xa5, sizeof(*request));
    enum request_verdict verdict = request_parse(copy, length, request);
    free(copy);
    return verdict;
}

static void expect_verdict(const char *bytes, size_t length, enum request_verdict expected) {
    struct request request;
    enum request_verdict verdict = parse(bytes, length, &request);
    cr_expect_eq(verdict, expected, "%.*s: %s instead of %s", (int)length, bytes, verdict_names[verdict],
                 verdict_names[expected]);
    if (verdict == REQUEST_MALFORMED)
        cr_expect_not_null(request.problem, "%.*s: no problem is named", (int)length, bytes);
    if (verdict == REQUEST_UNNAMEABLE) {
        cr_expect_str_not_empty(request.host);
        cr_expect_str_empty(request.path);
    }
}

/* Parses the URI followed by CRLF. */
static void expect_uri(const char *uri, enum request_verdict expected) {
    char line[4096];
    int length = snprintf(line, sizeof(line), "%s\r\n", uri);
    cr_assert(length > 0 && (size_t)length < sizeof(line));
    expect_verdict(line, (size_t)length, expected);
}

struct verdict_case {
    const char *uri;
    enum request_verdict verdict;
};

static void expect_uris(const struct verdict_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++)
        expect_uri(cases[i].uri, cases[i].verdict);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(request, parts_of_a_valid_request) {
    static const struct {
        const char *uri, *host;
        bool host_is_address;
        uint16_t port;
        const char *path, *query;
    } cases[] = {
        {"gemini://h", "h", false, 1965, "/", NULL},
        {"gemini://h/", "h", false, 1965, "/", NULL},
        {"GEMINI://Example.ORG/Page", "example.org", false, 1965, "/Page", NULL},
        {"gemini://example.org./", "example.org", false, 1965, "/", NULL},
        {"gemini://e%58ample.org/", "example.org", false, 1965, "/", NULL},
        {"gemini://b%C3%BCcher.example/",
         "b\xc3\xbc"
         "cher.example",
         false, 1965, "/", NULL},
        {"gemini://h:/", "h", false, 1965, "/", NULL},
        {"gemini://h:1966/", "h", false, 1966, "/", NULL},
        {"gemini://h:0/", "h", false, 0, "/", NULL},
        {"gemini://h:65535/", "h", false, 65535, "/", NULL},
        {"gemini://h:00000000001965/", "h", false, 1965, "/", NULL},
        {"gemini://h?q", "h", false, 1965, "/", "q"},
        {"gemini://h/?", "h", false, 1965, "/", ""},
        {"gemini://h/?a%20b?c/d", "h", false, 1965, "/", "a%20b?c/d"},
        {"gemini://h/?%00%2F%ff", "h", false, 1965, "/", "%00%2F%ff"},
        {"gemini://127.0.0.1/", "127.0.0.1", true, 1965, "/", NULL},
        {"gemini://127.1/", "127.1", false, 1965, "/", NULL},
        {"gemini://256.0.0.1/", "256.0.0.1", false, 1965, "/", NULL},
        {"gemini://[::1]/", "::1", true, 1965, "/", NULL},
        {"gemini://[::1]:70/", "::1", true, 70, "/", NULL},
        {"gemini://[0:0:0:0:0:0:0:1]", "::1", true, 1965, "/", NULL},
        {"gemini://[2001:DB8::A]/", "2001:db8::a", true, 1965, "/", NULL},
        {"gemini://h/a%20b", "h", false, 1965, "/a b", NULL},
        {"gemini://h/%C3%A4", "h", false, 1965, "/\xc3\xa4", NULL},
        {"gemini://h/%25%32%30", "h", false, 1965, "/%20", NULL},
        {"gemini://h/%252F", "h", false, 1965, "/%2F", NULL},
        {"gemini://h/a%5cb", "h", false, 1965, "/a\\b", NULL},
        {"gemini://h/!$&'()*+,;=:@-._~", "h", false, 1965, "/!$&'()*+,;=:@-._~", NULL},
        {"gemini://h//a//", "h", false, 1965, "//a//", NULL},
        {"gemini://h/.", "h", false, 1965, "/", NULL},
        {"gemini://h/./", "h", false, 1965, "/", NULL},
        {"gemini://h/a/.", "h", false, 1965, "/a/", NULL},
        {"gemini://h/a/..", "h", false, 1965, "/", NULL},
        {"gemini://h/a/../b", "h", false, 1965, "/b", NULL},
        {"gemini://h/a/b/c/./../../g", "h", false, 1965, "/a/g", NULL},
        {"gemini://h/a/%2e%2E/b", "h", false, 1965, "/b", NULL},
        {"gemini://h/a/.%2e/b/%2e", "h", false, 1965, "/b/", NULL},
        {"gemini://h/a//../b", "h", false, 1965, "/a/b", NULL},
        {"gemini://h/...", "h", false, 1965, "/...", NULL},
        {"gemini://h/..a/b..", "h", false, 1965, "/..a/b..", NULL},
        {"gemini://h/.hidden", "h", false, 1965, "/.hidden", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char line[2048];
        struct request request;
        int length = snprintf(line, sizeof(line), "%s\r\nbytes behind it", cases[i].uri);
        enum request_verdict verdict = parse(line, (size_t)length, &request);
        cr_expect_eq(verdict, REQUEST_VALID, "%s: %s (%s)", cases[i].uri, verdict_names[verdict],
                     request.problem != NULL ? request.problem : "");
        if (verdict != REQUEST_VALID)
            continue;
        cr_expect_str_eq(request.host, cases[i].host, "%s: host %s", cases[i].uri, request.host);
        cr_expect_eq(request.host_is_address, cases[i].host_is_address, "%s: address", cases[i].uri);
        cr_expect_eq(request.port, cases[i].port, "%s: port %u", cases[i].uri, request.port);
        cr_expect_str_eq(request.path, cases[i].path, "%s: path %s", cases[i].uri, request.path);
        cr_expect_eq(request.has_query, cases[i].query != NULL, "%s: has_query", cases[i].uri);
        if (cases[i].query != NULL)
            cr_expect_str_eq(request.query, cases[i].query, "%s: query %s", cases[i].uri, request.query);
    }
}

Test(request, needs_an_absolute_uri) {
    static const struct verdict_case cases[] = {
        {"gemini://h/", REQUEST_VALID},
        {"", REQUEST_MALFORMED},
        {"/", REQUEST_MALFORMED},
        {"page.gmi", REQUEST_MALFORMED},
        {"//h/", REQUEST_MALFORMED},
        {"://h/", REQUEST_MALFORMED},
        {"h/page", REQUEST_MALFORMED},
        {"?query", REQUEST_MALFORMED},
        {"127.0.0.1:1965/", REQUEST_MALFORMED},
        {"1gemini://h/", REQUEST_MALFORMED},
        {"gem_ini://h/", REQUEST_MALFORMED},
        {"gemini", REQUEST_MALFORMED},
        {"gemini:", REQUEST_MALFORMED},
        {"gemini:h", REQUEST_MALFORMED},
        {"gemini:/h/", REQUEST_MALFORMED},
        {"gemini://", REQUEST_MALFORMED},
        {"gemini:///", REQUEST_MALFORMED},
        {"gemini:///page", REQUEST_MALFORMED},
        {"gemini://?q", REQUEST_MALFORMED},
        {"gemini://./", REQUEST_MALFORMED},
    };
    expect_uris(cases, COUNT(cases));
}

Test(request, other_schemes_are_foreign) {
    static const struct verdict_case cases[] = {
        {"http://h/", REQUEST_FOREIGN},
        {"https://h:443/a?b", REQUEST_FOREIGN},
        {"gopher://h/1/x", REQUEST_FOREIGN},
        {"titan://h/f;mime=text/plain;size=3", REQUEST_FOREIGN},
        {"mailto:a@b", REQUEST_FOREIGN},
        {"localhost:1965/", REQUEST_FOREIGN},
        {"file:///etc/motd", REQUEST_FOREIGN},
        {"urn:isbn:1", REQUEST_FOREIGN},
        {"a+b-c.d:x", REQUEST_FOREIGN},
        {"geminis://h/", REQUEST_FOREIGN},
        {"gemini://h../", REQUEST_FOREIGN},
        {"gemini://../a", REQUEST_FOREIGN},
        {"gemin://h/", REQUEST_FOREIGN},
        {"http://h/../x", REQUEST_FOREIGN},
        {"http:", REQUEST_FOREIGN},
        {"http://u@h/", REQUEST_MALFORMED},
        {"http://h/#f", REQUEST_MALFORMED},
        {"http://h/%zz", REQUEST_MALFORMED},
        {"http://h:a/", REQUEST_MALFORMED},
        {"http://[h/", REQUEST_MALFORMED},
    };
    expect_uris(cases, COUNT(cases));
}

Test(request, authority) {
    static const struct verdict_case cases[] = {
        {"gemini://u@h/", REQUEST_MALFORMED},
        {"gemini://u:p@h/", REQUEST_MALFORMED},
        {"gemini://@h/", REQUEST_MALFORMED},
        {"gemini://h/a@b", REQUEST_VALID},
        {"gemini://h/?a@b", REQUEST_VALID},
        {"gemini://:1965/", REQUEST_MALFORMED},
        {"gemini://h:x/", REQUEST_MALFORMED},
        {"gemini://h:19x/", REQUEST_MALFORMED},
        {"gemini://h:-1/", REQUEST_MALFORMED},
        {"gemini://h:+1/", REQUEST_MALFORMED},
        {"gemini://h:65536/", REQUEST_MALFORMED},
        {"gemini://h:4294969261/", REQUEST_MALFORMED},
        {"gemini://h:99999999999999999999/", REQUEST_MALFORMED},
        {"gemini://h:1965:1965/", REQUEST_MALFORMED},
        {"gemini://::1/", REQUEST_MALFORMED},
        {"gemini://[::1/", REQUEST_MALFORMED},
        {"gemini://::1]/", REQUEST_MALFORMED},
        {"gemini://[]/", REQUEST_MALFORMED},
        {"gemini://[h]/", REQUEST_MALFORMED},
        {"gemini://[127.0.0.1]/", REQUEST_MALFORMED},
        {"gemini://[::ffff:127.0.0.1]/", REQUEST_VALID},
        {"gemini://[::1]x/", REQUEST_MALFORMED},
        {"gemini://[::1%25eth0]/", REQUEST_MALFORMED},
        {"gemini://[1:2:3:4:5:6:7:8:9]/", REQUEST_MALFORMED},
        {"gemini://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/", REQUEST_MALFORMED},
        {"gemini://[v1.a:b]/", REQUEST_FOREIGN},
        {"gemini://[v.a]/", REQUEST_MALFORMED},
        {"gemini://[vg.a]/", REQUEST_MALFORMED},
        {"gemini://[v]/", REQUEST_MALFORMED},
        {"gemini://[v1.]/", REQUEST_MALFORMED},
        {"gemini://[v1]/", REQUEST_MALFORMED},
        {"gemini://h%2Fx/", REQUEST_MALFORMED},
        {"gemini://h%00/", REQUEST_MALFORMED},
        {"gemini://h%0d%0a/", REQUEST_MALFORMED},
        {"gemini://h%ff/", REQUEST_MALFORMED},
        {"gemini://h%4/", REQUEST_MALFORMED},
        {"gemini://h%/", REQUEST_MALFORMED},
        {"gemini://h%3/a", REQUEST_MALFORMED},
        {"gemini://a_b-c.d~e!$&'()*+,;=/", REQUEST_VALID},
    };
    expect_uris(cases, COUNT(cases));
}

Test(request, fragments_are_refused) {
    static const struct verdict_case cases[] = {
        {"gemini://h/#", REQUEST_MALFORMED}, {"gemini://h/#f", REQUEST_MALFORMED},
        {"gemini://h#f", REQUEST_MALFORMED}, {"gemini://h/?q#f", REQUEST_MALFORMED},
        {"gemini://h/%23f", REQUEST_VALID},  {"gemini://h/?q%23f", REQUEST_VALID},
    };
    expect_uris(cases, COUNT(cases));
}

Test(request, characters) {
    static const struct verdict_case cases[] = {
        {"\xef\xbb\xbfgemini://h/", REQUEST_MALFORMED},
        {" gemini://h/", REQUEST_MALFORMED},
        {"gemini://h/ ", REQUEST_MALFORMED},
        {"gemini://h/a b", REQUEST_MALFORMED},
        {"gemini://h/\xc3\xa4", REQUEST_MALFORMED},
        {"gemini://\xc3\xa4/", REQUEST_MALFORMED},
        {"gemini://h/\x01", REQUEST_MALFORMED},
        {"gemini://h/\t", REQUEST_MALFORMED},
        {"gemini://h/\x7f", REQUEST_MALFORMED},
        {"gemini://h/a\nb", REQUEST_MALFORMED},
        {"gemini://h/\n", REQUEST_MALFORMED},
        {"gemini://h/a\\b", REQUEST_MALFORMED},
        {"gemini://h/<a>", REQUEST_MALFORMED},
        {"gemini://h/\"a\"", REQUEST_MALFORMED},
        {"gemini://h/{a}", REQUEST_MALFORMED},
        {"gemini://h/a|b", REQUEST_MALFORMED},
        {"gemini://h/a^b", REQUEST_MALFORMED},
        {"gemini://h/`a`", REQUEST_MALFORMED},
        {"gemini://h/[a]", REQUEST_MALFORMED},
        {"gemini://h/?[a]", REQUEST_MALFORMED},
        {"gemini://h/%", REQUEST_MALFORMED},
        {"gemini://h/%2", REQUEST_MALFORMED},
        {"gemini://h/%2g", REQUEST_MALFORMED},
        {"gemini://h/%g2", REQUEST_MALFORMED},
        {"gemini://h/%%20", REQUEST_MALFORMED},
        {"gemini://h/?%", REQUEST_MALFORMED},
        {"gemini://h/?%2x", REQUEST_MALFORMED},
        {"gemini://h/?%20", REQUEST_VALID},
    };
    expect_uris(cases, COUNT(cases));
    expect_verdict("gemini://h/\0\r\n", 14, REQUEST_MALFORMED);
}

Test(request, climbing_above_the_root_is_malformed) {
    static const struct verdict_case cases[] = {
        {"gemini://h/..", REQUEST_MALFORMED},
        {"gemini://h/../", REQUEST_MALFORMED},
        {"gemini://h/../etc/motd", REQUEST_MALFORMED},
        {"gemini://h/../../etc/motd", REQUEST_MALFORMED},
        {"gemini://h/%2e%2e/etc/motd", REQUEST_MALFORMED},
        {"gemini://h/.%2E/etc/motd", REQUEST_MALFORMED},
        {"gemini://h/a/../..", REQUEST_MALFORMED},
        {"gemini://h/a/../../b", REQUEST_MALFORMED},
        {"gemini://h/a/%2e%2e/%2e%2e/a", REQUEST_MALFORMED},
        {"gemini://h/./../a", REQUEST_MALFORMED},
        {"gemini://h//../..", REQUEST_MALFORMED},
        {"gemini://h/a/../../%00", REQUEST_MALFORMED},
        {"gemini://h/a/../b/..", REQUEST_VALID},
        {"gemini://h//..", REQUEST_VALID},
        {"gemini://h/%252e%252e/", REQUEST_VALID},
        {"gemini://h/?../..", REQUEST_VALID},
        {"gemini://h/..%5c..%5c", REQUEST_VALID},
    };
    expect_uris(cases, COUNT(cases));
}

Test(request, names_that_no_file_has) {
    static const struct verdict_case cases[] = {
        {"gemini://h/%00", REQUEST_UNNAMEABLE},
        {"gemini://h/a%00.gmi", REQUEST_UNNAMEABLE},
        {"gemini://h/a%2Fb", REQUEST_UNNAMEABLE},
        {"gemini://h/a%2fb", REQUEST_UNNAMEABLE},
        {"gemini://h/..%2f..%2fetc", REQUEST_UNNAMEABLE},
        {"gemini://h/%0d%0a", REQUEST_UNNAMEABLE},
        {"gemini://h/%09", REQUEST_UNNAMEABLE},
        {"gemini://h/%7f", REQUEST_UNNAMEABLE},
        {"gemini://h/%c2%80", REQUEST_UNNAMEABLE},
        {"gemini://h/%c2%9f", REQUEST_UNNAMEABLE},
        {"gemini://h/%ff", REQUEST_UNNAMEABLE},
        {"gemini://h/%c0%af", REQUEST_UNNAMEABLE},
        {"gemini://h/%c0%ae%c0%ae/", REQUEST_UNNAMEABLE},
        {"gemini://h/%e0%80%af", REQUEST_UNNAMEABLE},
        {"gemini://h/%ed%a0%80", REQUEST_UNNAMEABLE},
        {"gemini://h/%f4%90%80%80", REQUEST_UNNAMEABLE},
        {"gemini://h/%c3", REQUEST_UNNAMEABLE},
        {"gemini://h/%c3/%a4", REQUEST_UNNAMEABLE},
        {"gemini://h/%00?q", REQUEST_UNNAMEABLE},
        {"gemini://h/%00?%", REQUEST_MALFORMED},
        {"gemini://h/%c2%a0", REQUEST_VALID},
        {"gemini://h/%f0%9f%9a%80", REQUEST_VALID},
        {"gemini://h/%ef%bb%bf", REQUEST_VALID},
    };
    expect_uris(cases, COUNT(cases));
}

/* Fills `line` with a URI of exactly this many bytes. */
static void make_uri(char *line, size_t length) {
    static const char start[] = "gemini://h/";
    memset(line, 'a', length);
    memcpy(line, start, sizeof(start) - 1);
}

Test(request, length) {
    char line[REQUEST_LINE_MAX + 100];
    struct request request;
    make_uri(line, REQUEST_URI_MAX);
    strcpy(line + REQUEST_URI_MAX, "\r\n");
    cr_expect_eq(parse(line, REQUEST_LINE_MAX, &request), REQUEST_VALID);
    cr_expect_eq(strlen(request.path), REQUEST_URI_MAX - strlen("gemini://h"));
    expect_verdict(line, REQUEST_URI_MAX, REQUEST_INCOMPLETE);
    expect_verdict(line, REQUEST_URI_MAX + 1, REQUEST_INCOMPLETE);

    make_uri(line, REQUEST_URI_MAX + 1);
    strcpy(line + REQUEST_URI_MAX + 1, "\r\n");
    expect_verdict(line, REQUEST_LINE_MAX + 1, REQUEST_MALFORMED);
    expect_verdict(line, REQUEST_LINE_MAX, REQUEST_MALFORMED);

    make_uri(line, sizeof(line));
    expect_verdict(line, REQUEST_URI_MAX, REQUEST_INCOMPLETE);
    expect_verdict(line, REQUEST_LINE_MAX, REQUEST_MALFORMED);
    expect_verdict(line, sizeof(line), REQUEST_MALFORMED);

    memset(line, '\n', sizeof(line));
    expect_verdict(line, sizeof(line), REQUEST_MALFORMED);
}

Test(request, host_length) {
    static const struct {
        size_t length;
        const char *behind;
        enum request_verdict verdict;
    } cases[] = {
        {HOSTNAME_MAX, "/", REQUEST_VALID},
        {HOSTNAME_MAX, "./", REQUEST_VALID},
        {HOSTNAME_MAX + 1, "/", REQUEST_FOREIGN},
        {HOSTNAME_MAX + 1, "./", REQUEST_FOREIGN},
        {1000, "/", REQUEST_FOREIGN},
        {1000, ":x/", REQUEST_MALFORMED},
        {1000, "/..", REQUEST_MALFORMED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char uri[2048] = "gemini://";
        memset(uri + strlen(uri), 'h', cases[i].length);
        strcat(uri, cases[i].behind);
        expect_uri(uri, cases[i].verdict);
    }
}

Test(request, line_ends) {
    static const struct {
        const char *bytes;
        enum request_verdict verdict;
    } cases[] = {
        {"", REQUEST_INCOMPLETE},
        {"g", REQUEST_INCOMPLETE},
        {"gemini://h/", REQUEST_INCOMPLETE},
        {"gemini://h/\r", REQUEST_INCOMPLETE},
        {"gemini://h/\r\n", REQUEST_VALID},
        {"gemini://h/\r\n\r\n", REQUEST_VALID},
        {"gemini://h/\r\n\x01\xff", REQUEST_VALID},
        {"gemini://h/\n", REQUEST_INCOMPLETE},
        {"gemini://h/\n\n", REQUEST_INCOMPLETE},
        {"gemini://h/\n\r", REQUEST_INCOMPLETE},
        {"gemini://h/\n\r\n", REQUEST_MALFORMED},
        {"\n", REQUEST_INCOMPLETE},
        {"\r", REQUEST_INCOMPLETE},
        {"\r\n", REQUEST_MALFORMED},
        {"\rgemini://h/\r\n", REQUEST_MALFORMED},
        {"gemini://h/\r\r\n", REQUEST_MALFORMED},
        {"gemini://h/\rx", REQUEST_MALFORMED},
        {"gemini://h/\x02", REQUEST_MALFORMED},
        {"\xef", REQUEST_MALFORMED},
        {"GET / HTTP/1.1", REQUEST_MALFORMED},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_verdict(cases[i].bytes, strlen(cases[i].bytes), cases[i].verdict);
}

/* However the bytes arrive, only the last one decides. */
Test(request, byte_by_byte) {
    static const char line[] = "gemini://example.org:1965/a/../b%20c?d\r\n";
    for (size_t length = 0; length < sizeof(line) - 1; length++)
        expect_verdict(line, length, REQUEST_INCOMPLETE);
    expect_verdict(line, sizeof(line) - 1, REQUEST_VALID);
}
