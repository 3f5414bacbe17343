/* SPDX-License-Identifier: GPL-3.0-or-later */
/* vitrine check: a folder with every fault, and one without any. */

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/server.h"

static struct server server;
static char output[65536], content[128], state[128];

static void begin(void) {
    server_prepare(&server);
    snprintf(content, sizeof content, "%s/content", server.folder);
    snprintf(state, sizeof state, "%s/state", server.folder);
    server_put_settings(&server, "%s", "");
}

static void end(void) {
    server_end(&server);
}

TestSuite(check, .init = begin, .fini = end, .timeout = 60);

static int check(const char *option) {
    const char *arguments[] = {"check",      "--content",     content, "--state", state,
                               "--settings", server.settings, option,  NULL};
    return run_program(output, sizeof output, arguments);
}

static void link_to(const char *target, const char *path) {
    char whole[256];
    snprintf(whole, sizeof whole, "%s/%s", content, path);
    cr_assert_eq(symlink(target, whole), 0);
}

Test(check, every_fault_is_reported) {
    static const char *const findings[] = {
        "alias: error: symbolic link leads to nothing",
        "bad name: warning: not a host name",
        "note.txt: warning: not a folder, so not a capsule",
        "Upper.example: warning: not a host name",
        "localhost/.hidden: warning: name begins with a dot; never served",
        "localhost/.meta:2: error: missing colon",
        "\"localhost/a\\x0ab\": error: no client can ask for this name",
        "localhost/dangling: error: symbolic link leads to nothing",
        "localhost/club/.access:1: error: must begin with the SHA-256",
        "localhost/nobody/.access: warning: lists no certificate",
        "localhost/latin.gmi:2: error: is not UTF-8",
        "localhost/.meta:3: warning: pattern matches no file",
        "localhost/away: error: symbolic link leads out of its capsule",
        "localhost/last.gmi:1: error: is not UTF-8",
        "localhost/list/.directory-listing-ok:1: error: link \"none.gmi\" points to nothing",
        "localhost/locked/.access: error: not a regular file",
        "localhost/long.gmi:1: error: link \"0000",
        "localhost/nul.gmi:2: error: link \"none.gmi\" points to nothing",
        "localhost/page.gmi:1: error: begins with a byte order mark",
        "localhost/page.gmi:2: warning: this page mixes line endings",
        "localhost/page.gmi:2: error: link \"missing.gmi\" points to nothing",
        "localhost/page.gmi:3: warning: link \"sub\" names a folder without a final slash",
        "localhost/page.gmi:4: warning: link \"/a/../..\" climbs above the root",
        "localhost/page.gmi:5: error: link \"a%zz\" is not a valid address",
        "localhost/page.gmi:6: warning: link \"gone.gmi\" points to a page that .meta declares gone",
        "localhost/page.gmi:7: error: link \"gemini://localhost/no\" points to nothing",
        "localhost/page.gmi:8: error: link line has no address",
        "localhost/page.gmi:9: warning: preformatted text begins here",
        "localhost/loop: error: symbolic link leads back to itself",
        "localhost/out.txt: error: symbolic link leads out of its capsule",
        "localhost/pipe: warning: not a regular file",
        "localhost/secret.gmi: error: not readable by everyone",
        "/bad.pem: error: it contains no certificate",
        "/pipe.pem: error: it contains no certificate",
        "vitrine.conf:1: error: ",
    };
    char path[256];
    server_put_text(&server, "bad name/index.gmi", "# x\n");
    server_put_text(&server, "note.txt", "x");
    server_put_text(&server, "localhost/.hidden", "x");
    server_put_text(&server, "localhost/.meta", "gone.gmi: 52 Gone\nnonsense\nnothing-*: text/plain\n");
    server_put_text(&server, "localhost/last.gmi", "no end \xff");
    server_put_text(&server, "localhost/list/.directory-listing-ok", "=> none.gmi\n");
    server_put_text(&server, "localhost/locked/.access/inside", "x");
    server_put_text(&server, "Upper.example/index.gmi", "# x\n");
    snprintf(path, sizeof path, "%s/localhost/nul.gmi", content);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fwrite("a\0b\n=> none.gmi\n", 1, 17, file);
    fclose(file);
    snprintf(path, sizeof path, "%s/localhost/long.gmi", content);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file, "=> %01100d\n", 0);
    fclose(file);
    server_put_text(&server, "localhost/a\nb", "x");
    server_put_text(&server, "localhost/club/.access", "zz Ada\n");
    server_put_text(&server, "localhost/club/index.gmi", "# x\n");
    server_put_text(&server, "localhost/nobody/.access", "# none\n");
    server_put_text(&server, "localhost/sub/index.gmi", "# x\n");
    server_put_text(&server, "localhost/latin.gmi", "# x\n\xff\n");
    server_put_text(&server, "localhost/secret.gmi", "# x\n");
    server_put_text(&server, "localhost/page.gmi",
                    "\xef\xbb\xbf# x\r\n=> missing.gmi\n=> sub\n=> /a/../..\n=> a%zz\n=> gone.gmi\n"
                    "=> gemini://localhost/no\n=>\n```\nx\n");
    link_to("nowhere", "alias");
    link_to("gone", "localhost/dangling");
    link_to("loop", "localhost/loop");
    link_to("/etc/passwd", "localhost/out.txt");
    link_to("/etc", "localhost/away");
    snprintf(path, sizeof path, "%s/localhost/pipe", content);
    cr_assert_eq(mkfifo(path, 0644), 0);
    snprintf(path, sizeof path, "%s/localhost/secret.gmi", content);
    cr_assert_eq(chmod(path, 0600), 0);
    snprintf(path, sizeof path, "%s/pipe.pem", state);
    cr_assert_eq(mkfifo(path, 0644), 0);
    snprintf(path, sizeof path, "%s/bad.pem", state);
    file = fopen(path, "w");
    fputs("no certificate\n", file);
    fclose(file);
    server_put_settings(&server, "no-such-key = 1\n");

    cr_expect_eq(check(NULL), 1);
    for (size_t i = 0; i < sizeof findings / sizeof findings[0]; i++)
        cr_expect(strstr(output, findings[i]), "'%s' is missing in:\n%s", findings[i], output);
    size_t lines = 0;
    for (const char *line = output; (line = strchr(line, '\n')); line++)
        lines++;
    cr_expect_eq(lines, sizeof findings / sizeof findings[0] + 1, "a finding too many:\n%s", output);
    cr_expect(strstr(output, "\n23 errors, 12 warnings in "), "%s", output);
}

/* Expects exactly these findings, in any order, followed by the summary. */
static void expect_findings(const char *const findings[], size_t count) {
    size_t lines = 0;
    for (size_t i = 0; i < count; i++)
        cr_expect(strstr(output, findings[i]), "'%s' is missing in:\n%s", findings[i], output);
    for (const char *line = output; (line = strchr(line, '\n')); line++)
        lines++;
    cr_expect_eq(lines, count + 1, "a finding too many:\n%s", output);
}

Test(check, text_and_what_it_is_said_to_be) {
    static const char *const findings[] = {
        "localhost/return.gmi:1: warning: a carriage return without a line feed",
        "localhost/return.txt:2: warning: a carriage return without a line feed",
        "localhost/latin.txt:1: warning: is not UTF-8; convert it, or declare its charset",
        "localhost/sub/latin.gmi:1: error: is not UTF-8; convert it",
        "localhost/sub/wrong.gmi:1: error: is not UTF-8, although .meta says so",
        "localhost/up.gmi:1: warning: link \"../up.gmi\" climbs above the root",
        "localhost/up.gmi:2: warning: link \"/./../none.gmi\" climbs above the root",
        "localhost/up.gmi:2: error: link \"/./../none.gmi\" points to nothing",
    };
    server_put_text(&server, "localhost/.meta",
                    "said.*: ;charset=iso-8859-1\nsub/said.gmi: text/gemini; lang=de; charset=\"ISO-8859-1\"\n"
                    "plain.gmi: text/plain; charset=x\nmoved.gmi: 31 /up.gmi\nsub/*.gmi: ;lang=de\n"
                    "data.txt: application/octet-stream\n");
    server_put_text(&server, "localhost/sub/.meta", "said.gmi: ;charset=iso-8859-1\nwrong.gmi: ;charset=UTF-8\n");
    server_put_text(&server, "localhost/said.gmi", "caf\xe9\n");
    server_put_text(&server, "localhost/said.txt", "caf\xe9\n");
    server_put_text(&server, "localhost/plain.gmi", "caf\xe9\n=> nothing.gmi\n");
    server_put_text(&server, "localhost/moved.gmi", "caf\xe9\n=> nothing.gmi\n");
    server_put_text(&server, "localhost/data.txt", "caf\xe9\r#\n");
    server_put_text(&server, "localhost/photo.jpg", "caf\xe9\r#\n");
    server_put_text(&server, "localhost/ends.txt", "one\r\ntwo\n");
    server_put_text(&server, "localhost/sub/said.gmi", "caf\xe9\n");
    server_put_text(&server, "localhost/sub/latin.gmi", "caf\xe9\n");
    server_put_text(&server, "localhost/sub/wrong.gmi", "caf\xe9\n");
    server_put_text(&server, "localhost/latin.txt", "caf\xe9\n");
    server_put_text(&server, "localhost/return.gmi", "# a\r# b\r");
    server_put_text(&server, "localhost/return.txt", "one\ntwo\rthree\n");
    server_put_text(&server, "localhost/up.gmi", "=> ../up.gmi\n=> /./../none.gmi\n=> sub/../up.gmi\n");
    cr_expect_eq(check(NULL), 1);
    expect_findings(findings, sizeof findings / sizeof findings[0]);
}

/* Reports links to missing hosts of this server only; other servers cannot be checked. */
Test(check, links_to_hosts_that_are_not_here) {
    static const char *const findings[] = {
        "localhost/index.gmi:1: warning: link \"gemini://gone.example/\" points to a host that this server does not "
        "serve",
        "localhost/index.gmi:2: warning: link \"gemini://www.a.example/\" points to a host that this server does not "
        "serve",
        "localhost/index.gmi:3: warning: link \"gemini://b.example/\" points to a host that this server does not serve",
        "localhost/index.gmi:4: warning: link \"//xn--bcher-kva.example/\" points to a host that this server does not "
        "serve",
        "localhost/index.gmi:5: warning: link \"gemini://dangling.example/\" points to a host that this server does "
        "not "
        "serve",
        "dangling.example: error: symbolic link leads to nothing",
    };
    server_put_text(&server, "a.example/index.gmi", "# A\n");
    server_put_text(&server, "www.b.example/index.gmi", "# B\n");
    server_put_text(&server, "localhost/index.gmi",
                    "=> gemini://gone.example/\n=> gemini://www.a.example/\n=> gemini://b.example/\n"
                    "=> //xn--bcher-kva.example/\n=> gemini://dangling.example/\n=> gemini://elsewhere.example/\n"
                    "=> gemini://gone.example:7070/\n=> gemini://sub.a.example/\n=> gemini://192.0.2.1/\n");
    link_to("nowhere", "dangling.example");
    server_start(&server);
    cr_assert_eq(server_stop(&server, SIGTERM), 0);
    char from[192], to[192];
    static const char *const gone[] = {"gone.example", "xn--bcher-kva.example"};
    for (size_t i = 0; i < 2; i++) {
        const char *const renamed[] = {"www.b.example", "a.example"};
        snprintf(from, sizeof from, "%s/%s.pem", state, renamed[i]);
        snprintf(to, sizeof to, "%s/%s.pem", state, gone[i]);
        cr_assert_eq(rename(from, to), 0);
    }
    check(NULL);
    /* Warnings about certificates of other hosts are not the subject here. */
    char *line = strstr(output, "warning: the certificate does not name its host");
    cr_expect_not_null(line);
    for (; (line = strstr(output, "the certificate does not name its host"));) {
        while (line > output && line[-1] != '\n')
            line--;
        char *end = strchr(line, '\n') + 1;
        memmove(line, end, strlen(end) + 1);
    }
    expect_findings(findings, sizeof findings / sizeof findings[0]);
}

Test(check, identities_that_clients_may_refuse) {
    char given[128], command[1024];
    snprintf(given, sizeof given, "%s/given", server.folder);
    snprintf(
        command, sizeof command,
        "mkdir %s && cd %s && openssl req -x509 -newkey ed25519 -nodes -keyout k -subj /CN=x -out identity.a.pem && "
        "openssl req -x509 -key k -subj /CN=x -addext subjectAltName=DNS:b -not_before 20200101000000Z -not_after "
        "20200102000000Z -out identity.b.pem && openssl req -x509 -key k -subj /CN=x -addext subjectAltName=DNS:c "
        "-not_before 20900101000000Z -not_after 20910101000000Z -out identity.c.pem && openssl req -x509 -key k "
        "-subj /CN=x -addext subjectAltName=DNS:other -days 999 -out identity.d.pem && cp identity.b.pem "
        "%s/b.pem",
        given, given, state);
    cr_assert_eq(system(command), 0);
    setenv("CREDENTIALS_DIRECTORY", given, 1);
    static const char *const findings[] = {
        "/given/identity.a.pem: warning: the certificate has no subject alternative name",
        "/given/identity.a.pem: warning: the certificate expires in ",
        "/given/identity.b.pem: error: the certificate expired ",
        "/given/identity.c.pem: warning: the certificate is not valid yet",
        "/given/identity.d.pem: error: the certificate does not name its host, so the server does not use it",
        "/state/b.pem: error: the certificate expired ",
    };
    cr_expect_eq(check(NULL), 1);
    expect_findings(findings, sizeof findings / sizeof findings[0]);
    unsetenv("CREDENTIALS_DIRECTORY");
}

Test(check, nothing_is_said_of_what_is_right) {
    static const char *const ways[] = {NULL, "--strict"};
    server_put_text(&server, "localhost/index.gmi",
                    "# Start\n=> folder/ ok\n=> folder/page.gmi\n=> /#top\n=> ?query\n=> https://example.org/ out\n"
                    "=> gemini://elsewhere.example/ out\n=> old.gmi moved\n=> gr%C3%BC%C3%9Fe.gmi\n"
                    "```\n=> not a link\n```\n=> listed/ ok\n=> club/ ok\n=> gemini://other.example/ ok\n");
    server_put_text(&server, "localhost/.meta", "old.gmi: 31 /folder/page.gmi\n");
    server_put_text(&server, "localhost/folder/index.gmi", "=> ../ up\r\n=> / up\r\n");
    server_put_text(&server, "localhost/folder/page.gmi", "no end of line");
    server_put_text(&server, "localhost/grüße.gmi", "# Grüße\n");
    server_put_text(&server, "localhost/listed/.directory-listing-ok", "");
    server_put_text(&server, "localhost/listed/data.bin", "\xff\xfe");
    server_put_text(&server, "localhost/club/.access",
                    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef Ada\n");
    server_put_text(&server, "localhost/club/index.gmi", "# Club\n");
    server_put_text(&server, "other.example/index.gmi", "# Other\n");
    server_put_text(&server,
                    "b\xc3\xbc"
                    "cher.example/index.gmi",
                    "=> page.gmi ok\n=> //[::1]/ ok\n");
    server_put_text(&server,
                    "b\xc3\xbc"
                    "cher.example/page.gmi",
                    "=> gemini://localhost:7070/no another server\n");
    server_put_text(&server, "::1/index.gmi", "=> page.gmi ok\n=> gemini://xn--bcher-kva.example/page.gmi ok\n");
    server_put_text(&server, "::1/page.gmi", "# x\n");
    link_to("localhost", "default");
    link_to("../folder", "localhost/folder/round");
    for (size_t i = 0; i < 2; i++) {
        cr_expect_eq(check(ways[i]), 0, "%s", output);
        cr_expect_eq(strncmp(output, "0 errors, 0 warnings in ", 24), 0, "%s", output);
    }
}

Test(check, warnings_count_where_it_is_strict) {
    server_put_text(&server, "localhost/.hidden", "x");
    cr_expect_eq(check(NULL), 0, "%s", output);
    cr_expect_eq(check("--strict"), 1, "%s", output);
}

Test(check, wrong_use_is_told) {
    snprintf(content, sizeof content, "/nowhere/at/all");
    cr_expect_eq(check(NULL), EX_NOINPUT);
    cr_expect(strstr(output, "/nowhere/at/all"), "%s", output);
    cr_expect_eq(check("--no-such-option"), EX_USAGE);
}
