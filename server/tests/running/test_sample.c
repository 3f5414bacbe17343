/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sample capsule, which shows that a new server works, and disappears when the owner adds pages. */

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
static char listen_option[64], sample[128];

/* The folder that server_prepare fills becomes the sample; the content folder is empty. */
static void begin(void) {
    char content[128];
    server_prepare(&server);
    snprintf(sample, sizeof sample, "%s/sample", server.folder);
    snprintf(content, sizeof content, "%s/content", server.folder);
    cr_assert_eq(rename(content, sample), 0);
    cr_assert_eq(mkdir(content, 0755), 0);
    snprintf(listen_option, sizeof listen_option, "127.0.0.1:%u", server.port);
    server.arguments[0] = "--listen";
    server.arguments[1] = listen_option;
    server.arguments[2] = "--sample";
    server.arguments[3] = sample;
}

static void end(void) {
    server_end(&server);
}

TestSuite(sample, .init = begin, .fini = end, .timeout = 90);

Test(sample, is_shown_to_every_name) {
    struct gemini_way way = {.address = "127.0.0.1"};
    server_start(&server);
    way.port = server.port;
    expect_status(&server, "gemini://localhost:PORT/", 20);
    way.server_name = "my.example";
    cr_expect_eq(ask_by(&way, with_port("gemini://my.example:PORT/", server.port))->status, 20);
    way.server_name = NULL;
    cr_expect_eq(ask_by(&way, with_port("gemini://192.0.2.1:PORT/", server.port))->status, 20);
    cr_expect_eq(ask_by(&way, with_port("gemini://my.example:PORT/missing", server.port))->status, 51);
    cr_expect(server_logged(&server, "so every name shows the sample"));
    cr_expect_not_null(server_told(&server, "STATUS=Every name shows the sample", 5000));
}

Test(sample, gives_way_to_the_first_capsule) {
    struct gemini_way way = {.address = "127.0.0.1", .server_name = "my.example"};
    server_start(&server);
    way.port = server.port;
    cr_expect_eq(ask_by(&way, with_port("gemini://my.example:PORT/", server.port))->status, 20);
    server_put_text(&server, "my.example/index.gmi", "# Mine\n");
    cr_expect_null(strstr(server_reload(&server), "sample"));
    const struct gemini_reply *reply = ask_by(&way, with_port("gemini://my.example:PORT/", server.port));
    cr_expect(reply->status == 20 && reply->body_size == 7 && memcmp(reply->body, "# Mine\n", 7) == 0);
    way.server_name = "localhost";
    cr_expect_eq(ask_by(&way, with_port("gemini://localhost:PORT/", server.port))->status, 53);
}

/* If a disk is not mounted, clients who know a capsule must not get the sample with another certificate instead. */
Test(sample, does_not_take_the_place_of_pages_that_are_missing) {
    char from[160], to[160];
    server_put_text(&server, "my.example/index.gmi", "# Mine\n");
    server_start(&server);
    snprintf(from, sizeof from, "%s/content/my.example", server.folder);
    snprintf(to, sizeof to, "%s/away", server.folder);
    cr_assert_eq(rename(from, to), 0);
    cr_expect_not_null(strstr(server_reload(&server), "Not reloaded"));
    cr_expect(server_logged(&server, "contains no capsule, but there are identities for other hosts"));
    cr_expect_eq(server_stop(&server, SIGTERM), 0);
    server_launch(&server);
    cr_expect(server_logged(&server, "contains no capsule, but there are identities for other hosts"));
    cr_expect_eq(server_stop(&server, 0), EX_NOINPUT);
}

Test(sample, a_page_that_belongs_to_no_host_is_told_of) {
    server_put_text(&server, "index.gmi", "# Lost\n");
    server_start(&server);
    cr_expect(server_logged(&server,
                            "content/index.gmi belongs to no host and is not served; move your pages into a folder"));
    cr_expect_not_null(server_told(&server, "belongs to no host", 5000));
}

Test(sample, a_folder_that_nobody_can_ask_for_is_told_of) {
    server_put_text(&server, "My Pages/index.gmi", "# Mine\n");
    server_start(&server);
    expect_status(&server, "gemini://localhost:PORT/", 20); /* the sample, as long as there is no other capsule */
    cr_expect(server_logged(
        &server, "folder \"My Pages\" does not have the name of a host, so no client can ask for it; rename"));
    cr_expect_not_null(server_told(&server, "ask for 1 folder not named like a host", 5000));
    server_put_text(&server, "Upper.example/index.gmi", "# Upper\n");
    server_put_text(&server, "right.example/index.gmi", "# Right\n");
    server_put_text(&server, "lost+found/file", "");
    server_reload(&server);
    cr_expect(server_logged(&server, "folder \"Upper.example\" does not have the name of a host"));
    cr_expect_not_null(server_told(&server, "ask for 2 folders not named like a host", 5000));
    cr_expect_not_null(server_told(&server, "Serving 1 capsule with", 5000));
}

Test(sample, what_is_closed_to_the_server_is_told_of) {
    char path[256];
    server_put_text(&server, "my.example/index.gmi", "# Mine\n");
    server_put_text(&server, "my.example/letters/closed.gmi", "# Closed\n");
    server_put_text(&server, "my.example/private/page.gmi", "# Private\n");
    server_put_text(&server, "my.example/.hidden", "never served\n");
    server_put_text(&server, "my.example/.meta", "# a comment\n");
    static const char *const closed[] = {"letters/closed.gmi", "private", ".hidden", ".meta"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        snprintf(path, sizeof path, "%s/content/my.example/%s", server.folder, closed[i]);
        cr_assert_eq(chmod(path, 0), 0);
    }
    server_start(&server);
    cr_expect(server_logged(&server, "the server cannot read 3 files or folders of capsules, such as "
                                     "\"my.example/.meta\"; to open them, run: chmod -R o+rX"));
    cr_expect_not_null(server_told(&server, "The server cannot read 3 files or folders", 5000));
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        snprintf(path, sizeof path, "%s/content/my.example/%s", server.folder, closed[i]);
        cr_assert_eq(chmod(path, 0755), 0);
    }
    cr_expect_null(strstr(server_reload(&server), "cannot read"));
}
