/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The findings of vitrine check in a content folder, word for word. */
#include <criterion/criterion.h>

/* This file includes the source under test; renaming avoids conflicts with the linked copy. */
#define check_run test_check_run
#include "commands/check.c"

#include <sys/wait.h>

#include "commands/fingerprint.h"
#include "logged.h"
#include "pretended.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char base[] = "/tmp/vitrine-check-XXXXXX", output[65536];

static void prepare(void) {
    cr_assert_not_null(mkdtemp(base));
    cr_assert_eq(chdir(base), 0);
    cr_assert_eq(system("mkdir -m 755 content state given && : >settings"), 0);
    chmod(base, 0755);
}

static void clean(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", base);
    cr_assert_eq(system(command), 0);
}

TestSuite(check, .init = prepare, .fini = clean, .timeout = 60);

/* Makes a file in the content folder, and its folders. */
static void put_bytes(const char *path, const void *bytes, size_t size) {
    char whole[4200];
    snprintf(whole, sizeof whole, "content/%s", path);
    for (char *slash = strchr(whole + 8, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    cr_assert_not_null(file, "%s", whole);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static void put(const char *path, const char *text) {
    put_bytes(path, text, strlen(text));
}

static size_t open_descriptors(void) {
    size_t count = 0;
    for (int i = 0; i < 256; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

static FILE *printed;
static int usual; /* the previous standard output */

/* Starts to capture what is printed. */
static void print_begin(void) {
    printed = tmpfile();
    fflush(stdout);
    usual = dup(STDOUT_FILENO);
    cr_assert(printed && usual >= 0 && dup2(fileno(printed), STDOUT_FILENO) >= 0);
}

/* Stops; the text is in `output`. */
static void print_end(void) {
    fflush(stdout);
    dup2(usual, STDOUT_FILENO);
    close(usual);
    rewind(printed);
    output[fread(output, 1, sizeof output - 1, printed)] = '\0';
    fclose(printed);
}

static int run_strictly(bool strict) {
    struct check_options options = {.settings = "settings", .content = "content", .state = "state", .strict = strict};
    size_t before = open_descriptors();
    print_begin();
    int status = test_check_run(&options);
    print_end();
    cr_expect_eq(open_descriptors(), before, "a descriptor is left open");
    return status;
}

/* Expects exactly these lines, in any order except that the summary is last. */
static void expect_lines(const char *const lines[], size_t count) {
    size_t found = logged_count(output, "\n");
    char line[4096];
    for (size_t i = 0; i < count; i++) {
        snprintf(line, sizeof line, "\n%s\n", lines[i]);
        bool first = strncmp(output, line + 1, strlen(line + 1)) == 0;
        cr_expect(first || strstr(output, line), "missing: %s", lines[i]);
    }
    cr_expect_eq(found, count, "%zu lines:\n%s", found, output);
    if (count > 0) {
        snprintf(line, sizeof line, "%s\n", lines[count - 1]);
        size_t length = strlen(output), last = strlen(line);
        cr_expect(length >= last && strcmp(output + length - last, line) == 0, "%s", output);
    }
}

#define EXPECT_LINES(...)                                                                                              \
    expect_lines((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

Test(check, an_empty_folder) {
    cr_expect_eq(run_strictly(false), 1);
    EXPECT_LINES("content: error: contains no capsule; create a folder in it with the name of your host",
                 "1 error, 0 warnings in 0 files of 0 capsules");
}

Test(check, names_that_nobody_can_ask_for) {
    char deep[1100] = "h/", line[1400];
    put("h/index.gmi", "# H\n");
    put("h/.hidden", "");
    put("h/.well-known/security.txt", "");
    put("h/a\nb", "");
    put("Upper/index.gmi", "=> none\n");
    put("bad name/index.gmi", "=> none\n");
    put("plain", "");
    put(".vault", "");
    cr_assert_eq(symlink("nothing", "content/dangling"), 0);
    cr_assert_eq(symlink("h", "content/alias"), 0);
    cr_assert_eq(symlink("/etc/passwd", "content/out"), 0);
    cr_assert_eq(symlink("/etc/passwd", "content/h/out"), 0);
    cr_assert_eq(symlink("loop", "content/h/loop"), 0);
    cr_assert_eq(symlink("none", "content/h/nothing"), 0);
    cr_assert_eq(mkfifo("content/h/pipe", 0644), 0);
    cr_assert_eq(mkdir("content/h/.meta", 0755), 0);
    put("h/closed.txt", "x");
    put("h/closed/x.txt", "x");
    put("h/half/x.txt", "x");
    cr_assert_eq(chmod("content/h/closed.txt", 0640), 0);
    cr_assert_eq(chmod("content/h/closed", 0751), 0);
    cr_assert_eq(chmod("content/h/half", 0754), 0);
    /* "gemini://", "h" and a slash before each name: 9 + 1 + 1014 = 1024 bytes, the longest possible request. */
    for (size_t i = 0; i < 5; i++) {
        size_t length = i < 4 ? 200 : 1014 - 4 * 201 - 1;
        memset(deep + strlen(deep), 'd', length);
        strcat(deep, i < 4 ? "/" : "");
    }
    put(deep, "x");
    strcat(deep, "e");
    put(deep, "x");
    snprintf(line, sizeof line, "%s: error: its address is longer than 1024 bytes, so no client can ask for it", deep);
    cr_expect_eq(run_strictly(false), 1);
    EXPECT_LINES(
        "h/.hidden: warning: name begins with a dot; never served",
        "\"h/a\\x0ab\": error: no client can ask for this name; it must be UTF-8 without control characters",
        "Upper: warning: not a host name in lower case, so no client can ask for this capsule; its contents are not "
        "checked",
        "bad name: warning: not a host name in lower case, so no client can ask for this capsule; its contents are not "
        "checked",
        "plain: warning: not a folder, so not a capsule; never served",
        "dangling: error: symbolic link leads to nothing",
        "out: error: symbolic link leads out of the content folder; never served",
        "h/out: error: symbolic link leads out of its capsule; never served",
        "h/loop: error: symbolic link leads back to itself", "h/nothing: error: symbolic link leads to nothing",
        "h/pipe: warning: not a regular file; never served",
        "h/.meta: error: not a regular file, so the server cannot read it",
        "h/closed.txt: error: not readable by everyone, so the server cannot read it either (chmod o+r)",
        "h/closed: error: not readable by everyone, so the server cannot read it either (chmod o+rx)",
        "h/half: error: not readable by everyone, so the server cannot read it either (chmod o+rx)", line,
        "11 errors, 5 warnings in 21 files of 4 capsules");
}

Test(check, links_of_pages) {
    char page[16384], longest[1100], beyond[1100];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "=> /", 4);
    strcpy(longest + 4 + 1024 - strlen("gemini://h/"), "\n");
    memset(beyond, 'x', sizeof beyond);
    memcpy(beyond, "=> /", 4);
    strcpy(beyond + 4 + 1025 - strlen("gemini://h/"), "\n");
    snprintf(page, sizeof page,
             "# H\n=> none.gmi\n=> sub\n=> sub/ right\n=> sub?a query\n=> ../up.gmi\n=> a%%zz\n=>\n=> gone.gmi\n"
             "=> a%%2Fb\n=> gemini://elsewhere.example/a%%2Fb\n=> gemini://h:7070/none\n=> gemini://h:1966/none\n"
             "=> wait.gmi\n=> to-sub\n=> long/%%2e/../none\n=> /sub/none.gmi no\n=> club/ right\n=> moved right\n"
             "=> //www.a.example/\n=> //wwwxa.example/\n=> //b.example/\n=> //localhost/\n=> //127.0.0.1/\n"
             "=> //127.example/\n=> //[::1]/\n=> //[::2]/\n=> //gone.example/\n=> //gone.example:7070/\n"
             "=> //gone.example:1966/\n=> //dangling.example/\n=> //never.example/\n```\n=> none\n```\n%s%s",
             longest, beyond);
    put("h/index.gmi", page);
    put("h/up.gmi", "# Up\n");
    put("h/.meta", "gone.gmi: 52 Gone\nwait.gmi: 40 Wait\nto-sub: 31 /sub\nmoved: 31 /up.gmi\n");
    put("h/sub/index.gmi", "=> ../index.gmi\n=> none\n");
    put("h/club/.access", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n");
    put("h/list/.directory-listing-ok", "# List\n=> none.gmi\n=> page.gemini\n=> ?query\n");
    put("h/bare/page.gmi", "=> ?query\n=> page.gmi\n");
    put("h/list/page.gemini", "=> page.gemini\n=> none\n");
    put("h/list/text.txt", "=> none\n");
    put("a.example/index.gmi", "# A\n");
    put("www.b.example/index.gmi", "# B\n");
    cr_assert_eq(symlink("nothing", "content/dangling.example"), 0);
    cr_assert_eq(system("cd state && openssl req -x509 -newkey ed25519 -nodes -keyout k -subj /CN=x -days 900 -addext "
                        "subjectAltName=DNS:gone.example -out gone.example.pem 2>/dev/null && "
                        "echo 'advertised-ports = 1966' >../settings"),
                 0);
    cr_expect_eq(run_strictly(false), 1);
    char lost[1400], invalid[1400];
    longest[strlen(longest) - 1] = beyond[strlen(beyond) - 1] = '\0';
    snprintf(lost, sizeof lost, "h/index.gmi:36: error: link \"%s\" points to nothing", longest + 3);
    snprintf(invalid, sizeof invalid,
             "h/index.gmi:37: error: link \"%s\" is not a valid address: the URI is longer than 1024 bytes",
             beyond + 3);
#define ELSEWHERE                                                                                                      \
    " points to a host that this server does not serve; if the host is yours, create a folder with its name, or a "    \
    "symbolic link to one"
    EXPECT_LINES(
        "h/index.gmi:2: error: link \"none.gmi\" points to nothing",
        "h/index.gmi:3: warning: link \"sub\" names a folder without a final slash, so each visit needs a redirect",
        "h/index.gmi:5: warning: link \"sub?a\" names a folder without a final slash, so each visit needs a redirect",
        "h/index.gmi:6: warning: link \"../up.gmi\" climbs above the root; clients ignore the extra `..`",
        "h/index.gmi:7: error: link \"a%zz\" is not a valid address: a percent sign is not followed by two hexadecimal "
        "digits",
        "h/index.gmi:8: error: link line has no address",
        "h/index.gmi:9: warning: link \"gone.gmi\" points to a page that .meta declares gone",
        "h/index.gmi:10: error: link \"a%2Fb\" can never name a file",
        "h/index.gmi:13: error: link \"gemini://h:1966/none\" points to nothing",
        "h/index.gmi:14: error: link \"wait.gmi\" leads to a failure: Wait",
        "h/index.gmi:16: error: link \"long/%2e/../none\" points to nothing",
        "h/index.gmi:17: error: link \"/sub/none.gmi\" points to nothing",
        "h/index.gmi:20: warning: link \"//www.a.example/\"" ELSEWHERE,
        "h/index.gmi:22: warning: link \"//b.example/\"" ELSEWHERE,
        "h/index.gmi:23: warning: link \"//localhost/\"" ELSEWHERE,
        "h/index.gmi:24: warning: link \"//127.0.0.1/\"" ELSEWHERE,
        "h/index.gmi:26: warning: link \"//[::1]/\"" ELSEWHERE,
        "h/index.gmi:28: warning: link \"//gone.example/\"" ELSEWHERE,
        "h/index.gmi:30: warning: link \"//gone.example:1966/\"" ELSEWHERE,
        "h/index.gmi:31: warning: link \"//dangling.example/\"" ELSEWHERE, lost, invalid,
        "h/sub/index.gmi:2: error: link \"none\" points to nothing",
        "h/list/.directory-listing-ok:2: error: link \"none.gmi\" points to nothing",
        "h/list/page.gemini:2: error: link \"none\" points to nothing",
        "dangling.example: error: symbolic link leads to nothing", "14 errors, 12 warnings in 15 files of 3 capsules");
}

Test(check, text_of_pages) {
    static char longer[2 * CHECK_LINE_MAX + 10];
    put("h/ends.gmi", "one\r\n\r\ntwo\nthree\r\nfour\n");
    put("h/same.gmi", "one\r\ntwo\r\n\r\nend");
    put("h/empty.gmi", "\n\n\nend\n");
    put("h/ends.txt", "one\r\ntwo\n");
    put("h/mark.gmi", "\xef\xbb\xbf# x\n\xef\xbb\xbf\n");
    put("h/mark.txt", "\xef\xbb\xbfx\n");
    put("h/returns.gmi", "a\rb\nc\rd\r\n");
    put("h/latin.gmi", "a\n\xe9\n\xe8\n");
    put("h/latin.txt", "a\n\xe9\n");
    put("h/said.txt", "\xe9\ra\n");
    put("h/wrong.txt", "\xe9\n");
    put("h/.meta", "said.txt: ;charset=iso-8859-1\nwrong.txt: ;charset=utf-8\n");
    put("h/open.gmi", "```\na\n```\n\n``` code\nb\n");
    put_bytes("h/zero.gmi", "a\0b\n=> none\n", 12);
    /* A line that is longer than one read is still a single line. */
    memset(longer, 'x', sizeof longer);
    memcpy(longer + CHECK_LINE_MAX, "=> none ", 8);
    memcpy(longer + sizeof longer - 9, "\n=> none\n", 9);
    put_bytes("h/long.gmi", longer, sizeof longer);
    memcpy(longer + CHECK_LINE_MAX - 1, "\xc3\xa9", 2); /* cut in the middle */
    memcpy(longer + sizeof longer - 9, "\n\xe9  text\n", 9);
    put_bytes("h/cut.gmi", longer, sizeof longer);
    cr_expect_eq(run_strictly(false), 1);
    EXPECT_LINES("h/ends.gmi:3: warning: this page mixes line endings (LF and CRLF)",
                 "h/mark.gmi:1: error: begins with a byte order mark, which some clients show or reject",
                 "h/returns.gmi:1: warning: a carriage return without a line feed does not end a line",
                 "h/returns.gmi:2: warning: this page mixes line endings (LF and CRLF)",
                 "h/latin.gmi:2: error: is not UTF-8; convert it, or declare its charset in .meta, for example: "
                 ";charset=iso-8859-1",
                 "h/latin.txt:2: warning: is not UTF-8; convert it, or declare its charset in .meta, for example: "
                 ";charset=iso-8859-1",
                 "h/wrong.txt:1: error: is not UTF-8, although .meta says so",
                 "h/open.gmi:5: warning: preformatted text begins here and never ends",
                 "h/zero.gmi:2: error: link \"none\" points to nothing",
                 "h/long.gmi:2: error: link \"none\" points to nothing",
                 "h/cut.gmi:2: error: is not UTF-8; convert it, or declare its charset in .meta, for example: "
                 ";charset=iso-8859-1",
                 "6 errors, 5 warnings in 16 files of 1 capsule");
}

Test(check, lists_and_metadata) {
    static char longer[METAFILE_MAX + 1];
    memset(longer, '#', sizeof longer);
    put("h/index.gmi", "# H\n");
    put("h/.meta", "none.gmi: ;lang=de\nindex.gmi 20\n");
    put_bytes("h/long/.meta", longer, sizeof longer);
    put_bytes("h/most/.meta", longer, sizeof longer - 1);
    put("h/nobody/.access", "# nobody\n");
    put("h/some/.access", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef Ada\n");
    put("h/wrong/.access", "Ada\n");
    put("h/wrong/.directory-listing-ok", "");
    cr_expect_eq(run_strictly(false), 1);
    EXPECT_LINES("h/.meta:1: warning: pattern matches no file", "h/.meta:2: error: missing colon after the pattern",
                 "h/long/.meta: error: cannot be read: it is too long",
                 "h/nobody/.access: warning: lists no certificate, so nobody can enter this folder",
                 "h/wrong/.access:1: error: must begin with the SHA-256 of a certificate: 64 hexadecimal digits",
                 "3 errors, 2 warnings in 13 files of 1 capsule");
}

static void certify(const char *folder, const char *file, const char *more) {
    char command[512];
    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -newkey ed25519 -nodes -keyout /dev/null -subj /CN=x -not_before "
             "20240101000000Z -not_after 20250101000000Z %s -out %s 2>/dev/null",
             folder, more, file);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* All kinds of certificates at the same time, and at the ends of their validity. */
Test(check, certificates) {
    put("h/index.gmi", "# H\n");
    certify("state", "h.pem", "-addext subjectAltName=DNS:h");
    certify("state", "i.pem", "-addext subjectAltName=DNS:h");
    certify("state", "j.pem", "");
    certify("state", "k.txt", "");
    certify("given", "identity.g.pem", "-addext subjectAltName=DNS:h");
    certify("given", "identity.default.pem", "-addext subjectAltName=DNS:h");
    certify("given", "other.pem", "-addext subjectAltName=DNS:h");
    cr_assert_eq(system("echo none >state/l.pem; mkfifo state/m.pem"), 0);
    setenv("CREDENTIALS_DIRECTORY", "given", 1);
#define FAULTS                                                                                                         \
    "state/i.pem: warning: the certificate does not name its host, so some clients reject it",                         \
        "state/j.pem: warning: the certificate has no subject alternative name, so some clients reject it",            \
        "state/l.pem: error: it contains no certificate", "state/m.pem: error: it contains no certificate",            \
        "given/identity.g.pem: error: the certificate does not name its host, so the server does not use it"
    const time_t ends = 1735689600, begins = 1704067200; /* 2025-01-01, 2024-01-01 */
    pretended_time = ends - 60 * 86400;
    cr_expect_eq(run_strictly(false), 1);
    EXPECT_LINES(FAULTS, "3 errors, 2 warnings in 1 file of 1 capsule");
    pretended_time = begins;
    run_strictly(false);
    EXPECT_LINES(FAULTS, "3 errors, 2 warnings in 1 file of 1 capsule");
    cr_assert_eq(system("rm state/[i-m].* given/identity.g.pem"), 0);
    pretended_time = begins - 1;
    cr_expect_eq(run_strictly(false), 0);
    EXPECT_LINES(
        "state/h.pem: warning: the certificate is not valid yet; check the clock of this machine",
        "given/identity.default.pem: warning: the certificate is not valid yet; check the clock of this machine",
        "0 errors, 2 warnings in 1 file of 1 capsule");
    cr_expect_eq(run_strictly(true), 1);
    pretended_time = ends - 60 * 86400 + 1;
    cr_expect_eq(run_strictly(false), 0);
    EXPECT_LINES("state/h.pem: warning: the certificate expires in 59 days; renew it with: vitrinectl renew",
                 "given/identity.default.pem: warning: the certificate expires in 59 days; install a renewed one",
                 "0 errors, 2 warnings in 1 file of 1 capsule");
    pretended_time = ends;
    run_strictly(false);
    EXPECT_LINES("state/h.pem: warning: the certificate expires in 0 days; renew it with: vitrinectl renew",
                 "given/identity.default.pem: warning: the certificate expires in 0 days; install a renewed one",
                 "0 errors, 2 warnings in 1 file of 1 capsule");
    pretended_time = ends + 3 * 86400;
    cr_expect_eq(run_strictly(false), 1);
    EXPECT_LINES("state/h.pem: error: the certificate expired 3 days ago; the server still uses it, and clients warn "
                 "their users; renew it with: vitrinectl renew",
                 "given/identity.default.pem: error: the certificate expired 3 days ago; the server still uses it, and "
                 "clients warn their users; install a renewed one",
                 "2 errors, 0 warnings in 1 file of 1 capsule");
    pretended_time = ends - 90 * 86400;
    unsetenv("CREDENTIALS_DIRECTORY");
    cr_expect_eq(run_strictly(true), 0);
    EXPECT_LINES("0 errors, 0 warnings in 1 file of 1 capsule");
    pretended_time = 0;
}

/* Root can read everything, so this runs as another user. Identities that this user cannot read are skipped. */
Test(check, what_the_user_may_not_read) {
    put("h/index.gmi", "# H\n");
    put("h/closed.gmi", "# H\n");
    put("h/.meta", "");
    put("h/folder/page.gmi", "# H\n");
    certify("state", "h.pem", "");
    certify("state", "i.pem", "-addext subjectAltName=DNS:i");
    cr_assert(chmod("content/h/closed.gmi", 0600) == 0 && chmod("content/h/folder", 0711) == 0);
    cr_assert(chmod("state/h.pem", 0600) == 0 && chmod("state/i.pem", 0644) == 0 &&
              chmod("content/h/.meta", 0600) == 0);
    int said[2], status;
    cr_assert_eq(pipe(said), 0);
    pid_t child = fork();
    if (child == 0) {
        if (setgid(65534) == 0 && setuid(65534) == 0) {
            pretended_time = 1720000000;
            run_strictly(false);
            (void)!write(said[1], output, strlen(output));
        }
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    close(said[1]);
    ssize_t got = read(said[0], output, sizeof output - 1);
    close(said[0]);
    if (geteuid() != 0)
        cr_skip_test("only root can become somebody else");
    cr_assert_gt(got, 0);
    output[got] = '\0';
    EXPECT_LINES("h/closed.gmi: error: cannot be read: Permission denied",
                 "h/.meta: error: cannot be read: Permission denied",
                 "h/folder: error: cannot be read: Permission denied", "3 errors, 0 warnings in 4 files of 1 capsule");
}

/* The depth of nested folders is limited. */
Test(check, a_deep_folder) {
    char path[512] = "h/";
    for (size_t i = 0; i < 64; i++)
        strcat(path, "d/");
    strcpy(path + strlen(path), "page.gmi");
    put(path, "=> none\n");
    char line[600], *end = path + strlen(path) - strlen("page.gmi");
    snprintf(line, sizeof line, "%s:1: error: link \"none\" points to nothing", path);
    strcpy(end, "d/page.gmi");
    put(path, "=> none\n");
    cr_expect_eq(run_strictly(false), 1);
    EXPECT_LINES(line, "1 error, 0 warnings in 66 files of 1 capsule");
}

Test(check, folders_that_are_not_there) {
    put("h/index.gmi", "# H\n");
    cr_assert_eq(system("rm -r state; echo 'no-such-setting = 1' >settings"), 0);
    setenv("CREDENTIALS_DIRECTORY", "nowhere", 1);
    cr_expect_eq(run_strictly(false), 1);
    unsetenv("CREDENTIALS_DIRECTORY");
    EXPECT_LINES("settings:1: error: \"no-such-setting\" is not a setting; vitrine.conf(5) lists them all",
                 "1 error, 0 warnings in 1 file of 1 capsule");
    cr_assert_eq(system("rm settings"), 0);
    logged_begin();
    cr_expect_eq(run_strictly(false), EX_NOINPUT);
    cr_expect_not_null(strstr(logged_end(), "settings file \"settings\": No such file or directory"));
    cr_expect_str_eq(output, "");
    cr_assert_eq(system(": >settings; rm -r content"), 0);
    logged_begin();
    cr_expect_eq(run_strictly(false), EX_NOINPUT);
    cr_expect_not_null(strstr(logged_end(), "content folder content: No such file or directory"));
}

Test(check, colours_of_a_terminal) {
    struct check check = {.colours = true};
    print_begin();
    find_fault(&check, "a", 1, ERROR, "b");
    find_fault(&check, "c", 0, WARNING, "%d", 5);
    print_end();
    cr_expect_str_eq(output, "a:1: \033[31merror:\033[0m b\nc: \033[33mwarning:\033[0m 5\n");
    cr_expect_eq(check.errors, 1);
    cr_expect_eq(check.warnings, 1);
}

/* ---- fingerprints ---- */

TestSuite(fingerprint, .init = prepare, .fini = clean, .timeout = 60);

static int print(const char *const *hosts) {
    size_t before = open_descriptors();
    print_begin();
    int status = fingerprint("state", (char *const *)(uintptr_t)hosts);
    print_end();
    cr_expect_eq(open_descriptors(), before, "a descriptor is left open");
    return status;
}

#define PRINT(...) print((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* Returns the hash that openssl prints for a certificate, through a command that reads it. */
static const char *hash_by(const char *file, const char *command) {
    static char lines[4][256];
    static size_t at;
    char whole[512], *line = lines[at++ % 4];
    snprintf(whole, sizeof whole, "openssl x509 -in %s %s", file, command);
    FILE *said = popen(whole, "r");
    cr_assert(said && fgets(line, 256, said) && pclose(said) == 0, "%s", whole);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static const char *lines_of(const char *file, const char *host, const char *remark) {
    static char text[2048];
    snprintf(text, sizeof text,
             "%s%s\n  ends:        2025-01-01 00:00:00 UTC\n  certificate: %s\n  public key:  %s\n  TLSA:        "
             "_1965._tcp.%s. IN TLSA 3 1 1 %s\n",
             host, remark, hash_by(file, "-noout -fingerprint -sha256 | sed 's/.*=//'"),
             hash_by(file, "-noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64 | tr a-f A-F | "
                           "sed 's/../&:/g; s/:$//'"),
             host,
             hash_by(file, "-noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64 | tr a-f A-F"));
    return text;
}

Test(fingerprint, of_each_host) {
    static char both[8192];
    certify("state", "a.pem", "-addext subjectAltName=DNS:a");
    certify("state", "a.next", "-addext subjectAltName=DNS:a");
    certify("state", "b.pem", "-addext subjectAltName=DNS:c,DNS:d");
    certify("state", "other", "");
    log_limit(LOG_LEVEL_NOTICE);
    cr_expect_eq(PRINT("b"), EX_OK);
    cr_expect_str_eq(output, lines_of("state/b.pem", "b", ""));
    strcpy(both, lines_of("state/a.pem", "a", ""));
    strcat(both, lines_of("state/a.next", "a", " (announced, not in use yet)"));
    cr_expect_eq(PRINT("A"), EX_OK);
    cr_expect_str_eq(output, both, "%s", output);
    strcat(both, lines_of("state/b.pem", "b", ""));
    logged_begin();
    cr_expect_eq(PRINT(), EX_OK);
    cr_expect_str_empty(logged_end());
    cr_expect_str_eq(output, both, "%s", output);
    /* Files named by their path need no state folder. */
    cr_expect_eq(PRINT("state/b.pem"), EX_OK);
    cr_expect_str_eq(output, lines_of("state/b.pem", "d", ""), "one of its names: %s", output);
    cr_expect_eq(PRINT("./state/other"), EX_OK);
    cr_expect_str_eq(output, lines_of("state/other", "x", ""), "its common name");
    cr_assert_eq(rename("state", "elsewhere"), 0);
    cr_expect_eq(PRINT("elsewhere/b.pem"), EX_OK);
    logged_begin();
    cr_expect_eq(PRINT("elsewhere/b.pem", "b"), EX_NOINPUT);
    cr_expect_not_null(
        strstr(logged_end(), "state folder state: No such file or directory; name another with --state"));
    cr_expect_eq(PRINT(), EX_NOINPUT);
    cr_expect_str_eq(output, "");
}

Test(fingerprint, of_what_is_none) {
    certify("state", "b.pem", "-addext subjectAltName=DNS:b");
    log_limit(LOG_LEVEL_NOTICE);
    logged_begin();
    cr_expect_eq(PRINT("a", "b"), EX_NOINPUT, "the others are printed all the same");
    cr_expect_not_null(strstr(logged_end(), "a.pem\": No such file or directory; name none to list all\n"));
    cr_expect_str_eq(output, lines_of("state/b.pem", "b", ""));
    logged_begin();
    cr_expect_eq(PRINT("b", "a b"), EX_NOINPUT);
    cr_expect_not_null(strstr(logged_end(), "invalid host name; use the name of the capsule's folder"));
    cr_assert_eq(system("echo none >state/a.pem"), 0);
    logged_begin();
    cr_expect_eq(PRINT("a"), EX_DATAERR);
    cr_expect_str_eq(strchr(logged_end(), ':'), ": it contains no certificate\n");
    cr_expect_eq(PRINT(), EX_DATAERR);
    cr_expect_str_eq(output, lines_of("state/b.pem", "b", ""));
    cr_assert_eq(system("cp state/a.pem state/b.next"), 0);
    cr_expect_eq(PRINT("b"), EX_DATAERR);
    cr_assert_eq(system("rm state/*"), 0);
    logged_begin();
    cr_expect_eq(PRINT(), EX_OK);
    cr_expect_not_null(
        strstr(logged_end(), "state folder state contains no identity; the server makes one when it first"));
    /* The end of a certificate must come within a limit. */
    for (size_t more = 0; more < 2; more++) {
        char command[512];
        certify("state", "short", "-addext subjectAltName=DNS:b");
        snprintf(command, sizeof command,
                 "cd state && size=$(stat -c %%s short) && head -c $((16383 - size + 1 + %zu)) /dev/zero | tr '\\0' "
                 "'\\n' >b.pem && "
                 "cat short >>b.pem && rm short",
                 more);
        cr_assert_eq(system(command), 0);
        cr_expect_eq(PRINT("b"), more ? EX_DATAERR : EX_OK);
    }
}
