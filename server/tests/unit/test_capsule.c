/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "content/capsule.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char folder[] = "/tmp/vitrine-capsule-XXXXXX";
static struct capsules capsules;

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    fclose(file);
}

static void make_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(listener, 0);
    cr_assert_eq(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(listener);
}

/* FOLDER/content contains capsules; FOLDER/secret is outside of it. */
static void make_content(void) {
    static const char *const folders[] = {"content",
                                          "content/example.org",
                                          "content/example.org/empty",
                                          "content/example.org/dir",
                                          "content/example.org/dir/with spaces?",
                                          "content/example.org/gemini",
                                          "content/example.org/.git",
                                          "content/example.org/..2026",
                                          "content/.releases",
                                          "content/.releases/7",
                                          "content/example.org/.well-known",
                                          "content/example.org/dir/.well-known",
                                          "content/example.org/odd",
                                          "content/example.org/odd/index.gmi",
                                          "content/localhost",
                                          "content/.hidden",
                                          "outside"};
    static const struct {
        const char *path, *text;
    } files[] = {
        {"content/example.org/index.gmi", "start"},
        {"content/example.org/page.gmi", "page"},
        {"content/example.org/notes.txt", "notes"},
        {"content/example.org/a b.txt", "space"},
        {"content/example.org/\xc3\xa4.txt", "umlaut"},
        {"content/example.org/nothing", ""},
        {"content/example.org/dir/index.gmi", "dir"},
        {"content/example.org/dir/index.gemini", "not this"},
        {"content/example.org/dir/with spaces?/index.gmi", "spaces"},
        {"content/example.org/gemini/index.gemini", "gemini"},
        {"content/example.org/.git/config", "secret"},
        {"content/example.org/..2026/page.gmi", "mounted"},
        {"content/.releases/7/index.gmi", "released"},
        {"content/example.org/.secret", "secret"},
        {"content/example.org/.well-known/security.txt", "contact"},
        {"content/example.org/.well-known/.secret", "secret"},
        {"content/example.org/dir/.well-known/security.txt", "secret"},
        {"content/example.org/odd/index.gemini", "not this"},
        {"content/localhost/index.gmi", "local"},
        {"content/.hidden/index.gmi", "secret"},
        {"content/readme", "no capsule"},
        {"content/index.gmi", "no capsule"},
        {"outside/secret.txt", "secret"},
        {"secret.txt", "secret"},
    };
    static const struct {
        const char *target, *path;
    } links[] = {
        {"example.org", "content/alias.example"},
        {"../outside", "content/escaping.example"},
        {"/", "content/root.example"},
        {"nowhere", "content/broken.example"},
        {"page.gmi", "content/example.org/link.gmi"},
        {"dir", "content/example.org/dirlink"},
        {"../localhost/index.gmi", "content/example.org/neighbour.gmi"},
        {"../localhost", "content/example.org/neighbour"},
        {"../example.org/page.gmi", "content/example.org/round.gmi"},
        {".secret", "content/example.org/told.txt"},
        {".git", "content/example.org/git"},
        {".git/config", "content/example.org/config.txt"},
        {"..data/page.gmi", "content/example.org/mounted.gmi"},
        {"..2026", "content/example.org/..data"},
        {".releases/7", "content/released.example"},
        {"example.org/dir", "content/part.example"},
        {"example.org/neighbour", "content/lent.example"},
        {"../page.gmi", "content/example.org/dir/up.gmi"},
        {"../../secret.txt", "content/example.org/escape.txt"},
        {"../../outside", "content/example.org/escapes"},
        {"/etc/passwd", "content/example.org/absolute.txt"},
        {"loop2", "content/example.org/loop1"},
        {"loop1", "content/example.org/loop2"},
        {"nowhere", "content/example.org/dangling.gmi"},
        {"/proc/self/root", "content/example.org/magic"},
    };
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    for (size_t i = 0; i < COUNT(folders); i++)
        cr_assert_eq(mkdir(folders[i], 0755), 0, "%s", folders[i]);
    for (size_t i = 0; i < COUNT(files); i++)
        write_file(files[i].path, files[i].text);
    for (size_t i = 0; i < COUNT(links); i++)
        cr_assert_eq(symlink(links[i].target, links[i].path), 0, "%s", links[i].path);
    cr_assert_eq(mkfifo("content/example.org/fifo.gmi", 0644), 0);
    cr_assert_eq(mkfifo("content/fifo.example", 0644), 0);
    make_socket("content/example.org/socket.gmi");
    cr_assert_eq(capsules_open(&capsules, "content"), 0);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_content(void) {
    capsules_close(&capsules);
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Makes what request_parse would return. */
static struct request request_for(const char *host, const char *path, const char *query) {
    struct request request = {.port = REQUEST_DEFAULT_PORT, .has_query = query != NULL};
    strcpy(request.host, host);
    strcpy(request.path, path);
    strcpy(request.query, query != NULL ? query : "");
    request.host_is_address = host[strspn(host, "0123456789abcdef.:")] == '\0';
    return request;
}

/* text: the whole body; NULL: there must be none. meta: NULL if it does not matter. */
static void expect_answer(const char *host, const char *path, const char *query, enum status status, const char *meta,
                          const char *text) {
    struct request request = request_for(host, path, query);
    struct reply reply;
    memset(&reply, 0xa5, sizeof(reply));
    capsules_answer(&capsules, &request, &(struct client){0}, &reply);
    cr_expect_eq(reply.status, status, "%s%s: %d %s", host, path, reply.status, reply.meta);
    cr_expect(reply_meta_is_clean(reply.meta));
    if (meta != NULL)
        cr_expect_str_eq(reply.meta, meta, "%s%s: %s", host, path, reply.meta);
    cr_expect_null(reply.text);
    cr_expect_eq(reply.body >= 0, text != NULL, "%s%s", host, path);
    if (reply.body >= 0 && text != NULL) {
        char body[64] = "";
        cr_expect_eq(reply.body_size, strlen(text), "%s%s", host, path);
        cr_expect_eq(read(reply.body, body, sizeof(body)), (ssize_t)strlen(text));
        cr_expect_arr_eq(body, text, strlen(text), "%s%s: %s", host, path, body);
        cr_expect(fcntl(reply.body, F_GETFD) & FD_CLOEXEC);
    }
    reply_dispose(&reply);
}

static void expect_page(const char *host, const char *path, const char *type, const char *text) {
    expect_answer(host, path, NULL, STATUS_SUCCESS, type, text);
}

static void expect_status(const char *host, const char *path, enum status status) {
    expect_answer(host, path, NULL, status, NULL, NULL);
}

TestSuite(capsule, .init = make_content, .fini = remove_content, .timeout = 20);

Test(capsule, pages) {
    expect_page("example.org", "/", "text/gemini", "start");
    expect_page("example.org", "/index.gmi", "text/gemini", "start");
    expect_page("example.org", "/page.gmi", "text/gemini", "page");
    expect_page("example.org", "/notes.txt", "text/plain", "notes");
    expect_page("example.org", "/a b.txt", "text/plain", "space");
    expect_page("example.org", "/\xc3\xa4.txt", "text/plain", "umlaut");
    expect_page("example.org", "/nothing", "application/octet-stream", "");
    expect_page("example.org", "/dir/", "text/gemini", "dir");
    expect_page("example.org", "/gemini/", "text/gemini", "gemini");
    expect_page("example.org", "/link.gmi", "text/gemini", "page");
    expect_page("example.org", "/dirlink/", "text/gemini", "dir");
    expect_page("example.org", "/dir/up.gmi", "text/gemini", "page");
    expect_page("alias.example", "/page.gmi", "text/gemini", "page");
    expect_page("localhost", "/", "text/gemini", "local");
    expect_answer("example.org", "/page.gmi", "query", STATUS_SUCCESS, "text/gemini", "page");
}

Test(capsule, not_found) {
    static const char *const paths[] = {
        "/missing",      "/missing/",   "/missing/page.gmi", "/page.gmi/",    "/page.gmi/x",     "/empty/",
        "/odd/",         "//",          "//page.gmi",        "/dir//",        "/dir//index.gmi", "/fifo.gmi",
        "/fifo.gmi/",    "/socket.gmi", "/escape.txt",       "/escapes",      "/escapes/",       "/escapes/secret.txt",
        "/absolute.txt", "/loop1",      "/loop1/",           "/dangling.gmi", "/magic",          "/magic/etc/passwd",
    };
    for (size_t i = 0; i < COUNT(paths); i++)
        expect_status("example.org", paths[i], STATUS_NOT_FOUND);
}

Test(capsule, dotfiles_are_private) {
    expect_status("example.org", "/.secret", STATUS_NOT_FOUND);
    expect_status("example.org", "/.git", STATUS_NOT_FOUND);
    expect_status("example.org", "/.git/", STATUS_NOT_FOUND);
    expect_status("example.org", "/.git/config", STATUS_NOT_FOUND);
    expect_status("example.org", "/.well-known/.secret", STATUS_NOT_FOUND);
    expect_status("example.org", "/dir/.well-known/security.txt", STATUS_NOT_FOUND);
    expect_status("example.org", "/.well-knownx", STATUS_NOT_FOUND);
    expect_status("example.org", "/...", STATUS_NOT_FOUND);
    expect_page("example.org", "/.well-known/security.txt", "text/plain", "contact");
    expect_answer("example.org", "/.well-known", NULL, STATUS_REDIRECT_PERMANENT, "/.well-known/", NULL);
}

/*
 * A link does not make public what begins with a dot. An exception are the folders in which orchestrators keep
 * versions.
 */
Test(capsule, links_to_dotfiles) {
    expect_status("example.org", "/told.txt", STATUS_NOT_FOUND);
    expect_status("example.org", "/git", STATUS_NOT_FOUND);
    expect_status("example.org", "/git/", STATUS_NOT_FOUND);
    expect_status("example.org", "/git/config", STATUS_NOT_FOUND);
    expect_status("example.org", "/config.txt", STATUS_NOT_FOUND);
    expect_page("example.org", "/mounted.gmi", "text/gemini", "mounted");
    expect_status("example.org", "/..data/page.gmi", STATUS_NOT_FOUND);
    expect_page("released.example", "/", "text/gemini", "released");
    cr_assert_eq(symlink("example.org/.git", "content/hidden.example"), 0);
    cr_assert_eq(symlink("example.org/dirlink/.well-known", "content/deeper.example"), 0);
    expect_status("hidden.example", "/config", STATUS_NOT_FOUND);
    expect_status("deeper.example", "/security.txt", STATUS_NOT_FOUND);
}

/* Each capsule may have its own author, whose links must not leave the capsule. */
Test(capsule, links_do_not_leave_their_capsule) {
    expect_status("example.org", "/neighbour.gmi", STATUS_NOT_FOUND);
    expect_status("example.org", "/neighbour/", STATUS_NOT_FOUND);
    expect_status("example.org", "/neighbour/index.gmi", STATUS_NOT_FOUND);
    expect_status("example.org", "/round.gmi", STATUS_NOT_FOUND);
    expect_status("lent.example", "/", STATUS_PROXY_REQUEST_REFUSED);
    /* Part of a capsule with its own host name: its links must not leave that part. */
    expect_page("part.example", "/", "text/gemini", "dir");
    expect_status("part.example", "/up.gmi", STATUS_NOT_FOUND);
}

Test(capsule, folders_without_their_slash) {
    expect_answer("example.org", "/dir", NULL, STATUS_REDIRECT_PERMANENT, "/dir/", NULL);
    expect_answer("example.org", "/empty", NULL, STATUS_REDIRECT_PERMANENT, "/empty/", NULL);
    expect_answer("example.org", "/dirlink", NULL, STATUS_REDIRECT_PERMANENT, "/dirlink/", NULL);
    expect_answer("example.org", "/dir", "", STATUS_REDIRECT_PERMANENT, "/dir/?", NULL);
    expect_answer("example.org", "/dir", "a%20b?c", STATUS_REDIRECT_PERMANENT, "/dir/?a%20b?c", NULL);
    expect_answer("example.org", "/dir/with spaces?", NULL, STATUS_REDIRECT_PERMANENT, "/dir/with%20spaces%3F/", NULL);
    expect_page("example.org", "/dir/with spaces?/", "text/gemini", "spaces");

    char query[REQUEST_URI_MAX + 1] = "";
    memset(query, 'q', REPLY_META_MAX - strlen("/dir/?"));
    expect_answer("example.org", "/dir", query, STATUS_REDIRECT_PERMANENT, NULL, NULL);
    strcat(query, "q");
    expect_answer("example.org", "/dir", query, STATUS_NOT_FOUND, NULL, NULL);
}

Test(capsule, longest_names) {
    char path[REQUEST_URI_MAX + 1] = "/";
    memset(path + 1, 'a', 255);
    expect_status("example.org", path, STATUS_NOT_FOUND);
    memset(path + 1, 'a', 256);
    expect_status("example.org", path, STATUS_NOT_FOUND);
    memset(path + 1, 'a', REQUEST_URI_MAX - 1);
    expect_status("example.org", path, STATUS_NOT_FOUND);
    path[REQUEST_URI_MAX - 1] = '/';
    char host[HOSTNAME_MAX + 1] = "";
    memset(host, 'h', HOSTNAME_MAX);
    expect_status(host, path, STATUS_PROXY_REQUEST_REFUSED);
}

Test(capsule, hosts) {
    static const struct {
        const char *host;
        bool served;
    } cases[] = {
        {"example.org", true},
        {"alias.example", true},
        {"localhost", true},
        {"127.0.0.1", true},
        {"127.9.8.7", true},
        {"::1", true},
        {"192.0.2.1", false},
        {"2001:db8::1", false},
        {"unknown.example", false},
        {"readme", false},
        {"index.gmi", false},
        {"escaping.example", false},
        {"root.example", false},
        {"broken.example", false},
        {"fifo.example", false},
        {".hidden", false},
        {".", false},
        {"..", false},
        {"example.org/dir", false},
        {"", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request request = request_for(cases[i].host, "/", NULL);
        if (cases[i].host[0] == '\0' || cases[i].host[0] == '.')
            request.host_is_address = false;
        cr_expect_eq(capsules_serve(&capsules, request.host, request.host_is_address), cases[i].served, "%s",
                     cases[i].host);
        struct reply reply;
        capsules_answer(&capsules, &request, &(struct client){0}, &reply);
        cr_expect_eq(reply.status, cases[i].served ? STATUS_SUCCESS : STATUS_PROXY_REQUEST_REFUSED, "%s: %d",
                     cases[i].host, reply.status);
        reply_dispose(&reply);
    }
    expect_status("unknown.example", "/.git/config", STATUS_PROXY_REQUEST_REFUSED);
    expect_status("unknown.example", "//", STATUS_PROXY_REQUEST_REFUSED);
    expect_status("192.0.2.1", "/index.gmi", STATUS_PROXY_REQUEST_REFUSED);
}

Test(capsule, addresses) {
    expect_page("127.0.0.1", "/", "text/gemini", "local");
    cr_assert_eq(mkdir("content/default", 0755), 0);
    write_file("content/default/index.gmi", "default");
    expect_page("127.0.0.1", "/", "text/gemini", "default");
    expect_page("::1", "/", "text/gemini", "default");
    expect_page("192.0.2.1", "/", "text/gemini", "default");
    expect_status("192.0.2.1", "/missing", STATUS_NOT_FOUND);
    expect_page("localhost", "/", "text/gemini", "local");
    expect_status("unknown.example", "/", STATUS_PROXY_REQUEST_REFUSED);
    cr_assert_eq(mkdir("content/192.0.2.1", 0755), 0);
    write_file("content/192.0.2.1/index.gmi", "own");
    expect_page("192.0.2.1", "/", "text/gemini", "own");
    expect_page("192.0.2.2", "/", "text/gemini", "default");
}

Test(capsule, international_names_in_both_spellings) {
    expect_status("xn--bcher-kva.example", "/", STATUS_PROXY_REQUEST_REFUSED);
    cr_assert_eq(mkdir("content/b\xc3\xbc"
                       "cher.example",
                       0755),
                 0);
    write_file("content/b\xc3\xbc"
               "cher.example/index.gmi",
               "books");
    cr_assert_eq(mkdir("content/xn--4ca.example", 0755), 0);
    write_file("content/xn--4ca.example/index.gmi", "a");
    static const struct {
        const char *host, *text;
    } cases[] = {
        {"b\xc3\xbc"
         "cher.example",
         "books"},
        {"xn--bcher-kva.example", "books"},
        {"xn--4ca.example", "a"},
        {"\xc3\xa4.example", "a"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_expect(capsules_serve(&capsules, cases[i].host, false), "%s", cases[i].host);
        expect_page(cases[i].host, "/", "text/gemini", cases[i].text);
        expect_status(cases[i].host, "/missing", STATUS_NOT_FOUND);
        expect_status(cases[i].host, "/.git", STATUS_NOT_FOUND);
    }
    cr_expect_not(capsules_serve(&capsules, "xn--bcher-kvb.example", false));
    expect_status("xn--bcher-kvb.example", "/", STATUS_PROXY_REQUEST_REFUSED);
}

Test(capsule, unreadable) {
    cr_assert_eq(chmod("content/example.org/page.gmi", 0), 0);
    cr_assert_eq(chmod("content/localhost", 0), 0);
    cr_assert_eq(chmod(folder, 0755), 0);
    if (geteuid() == 0)
        cr_assert_eq(seteuid(65534), 0);
    expect_status("example.org", "/page.gmi", STATUS_NOT_FOUND);
    expect_status("localhost", "/", STATUS_NOT_FOUND);
    expect_page("example.org", "/", "text/gemini", "start");
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(chmod("content/localhost", 0755), 0);
}

Test(capsule, no_descriptor_left) {
    struct rlimit limit, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    expect_status("example.org", "/", STATUS_SERVER_UNAVAILABLE);
    expect_status("example.org", "/dir/", STATUS_SERVER_UNAVAILABLE);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect_page("example.org", "/", "text/gemini", "start");
}

/* Every response without a body must have closed what it opened. */
Test(capsule, nothing_is_leaked) {
    int before = dup(0);
    cr_assert_geq(before, 0);
    close(before);
    static const char *const paths[] = {"/", "/dir", "/dir/", "/fifo.gmi", "/odd/", "/missing", "/.git/", "//"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        static const char *const hosts[] = {"example.org", "unknown.example", "127.0.0.1", "192.0.2.1"};
        for (size_t k = 0; k < COUNT(hosts); k++) {
            struct request request = request_for(hosts[k], paths[i], NULL);
            struct reply reply;
            capsules_answer(&capsules, &request, &(struct client){0}, &reply);
            reply_dispose(&reply);
        }
    }
    int after = dup(0);
    cr_expect_eq(after, before);
    close(after);
}

Test(capsule, an_opened_page_stays_whole_when_replaced) {
    struct request request = request_for("example.org", "/page.gmi", NULL);
    struct reply reply;
    capsules_answer(&capsules, &request, &(struct client){0}, &reply);
    write_file("content/example.org/new", "new page");
    cr_assert_eq(rename("content/example.org/new", "content/example.org/page.gmi"), 0);
    char body[16] = "";
    cr_expect_eq(read(reply.body, body, sizeof(body)), 4);
    cr_expect_str_eq(body, "page");
    reply_dispose(&reply);
    expect_page("example.org", "/page.gmi", "text/gemini", "new page");
}

static void note_host(const char *host, void *context) {
    strcat(strcat(context, host), " ");
}

Test(capsule, each_host_in_order) {
    char hosts[1024] = "";
    cr_expect_eq(capsules_each_host(&capsules, note_host, hosts), 5);
    cr_expect_str_eq(hosts, "alias.example example.org localhost part.example released.example ", "%s", hosts);
    cr_expect_eq(capsules_each_host(&capsules, note_host, hosts), 5, "a second time");
}

Test(capsule, folders_that_cannot_be_opened) {
    struct capsules others;
    cr_expect_eq(capsules_open(&others, "missing"), -ENOENT);
    cr_expect_eq(capsules_open(&others, "secret.txt"), -ENOTDIR);
    cr_assert_eq(chmod("outside", 0), 0);
    if (geteuid() != 0)
        cr_expect_eq(capsules_open(&others, "outside"), -EACCES);
    cr_assert_eq(chmod("outside", 0755), 0);
    cr_expect_eq(capsules_open(&others, "outside"), 0);
    char hosts[16] = "";
    cr_expect_eq(capsules_each_host(&others, note_host, hosts), 0);
    capsules_close(&others);
    capsules_close(&others);
}

/* Descriptor 0 works like all others, and previous content of the memory does not matter. */
Test(capsule, without_a_standard_input) {
    struct capsules other = {.folder = 77, .language = "xx", .only = "nobody"};
    close(STDIN_FILENO);
    cr_assert_eq(capsules_open(&other, "."), 0);
    cr_expect_eq(other.folder, 0);
    cr_expect_null(other.only);
    cr_expect_null(other.language);
    capsules_close(&other);
    cr_expect_lt(fcntl(0, F_GETFD), 0, "it is closed");
    expect_page("example.org", "/", "text/gemini", "start");
    expect_page("example.org", "/dir/", "text/gemini", "dir");
    expect_status("example.org", "/missing.gmi", STATUS_NOT_FOUND);
    expect_status("example.com", "/", STATUS_PROXY_REQUEST_REFUSED);
    cr_expect_lt(fcntl(0, F_GETFD), 0, "nothing stays open");
}
