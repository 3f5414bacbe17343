/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line, and what wrong use prints: one sentence, and an exit status from sysexits.h. */

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/server.h"

static struct server server;

static void begin(void) {
    server_prepare(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(commands, .init = begin, .fini = end, .timeout = 60);

static char output[8192];

static void expect_one_line(int status, int expected, const char *about) {
    const char *end_of_line = strchr(output, '\n');
    cr_expect_eq(status, expected, "exit status %d: %s", status, output);
    cr_expect(end_of_line && end_of_line > output + 10 && end_of_line[1] == '\0', "not one line: '%s'", output);
    if (about)
        cr_expect(strstr(output, about), "'%s' is not mentioned: %s", about, output);
    for (const char *byte = output; *byte; byte++)
        cr_expect(*byte == '\n' || ((unsigned char)*byte >= 0x20 && *byte != 0x7f), "a control character: %s", output);
}

Test(commands, wrong_usage_is_64_and_one_line) {
    static const struct {
        const char *arguments[6], *about;
    } uses[] = {
        {{NULL}, NULL},
        {{"no-such-verb"}, "no-such-verb"},
        {{"serve", "--no-such-option"}, "--no-such-option"},
        {{"serve", "extra"}, "unexpected argument"},
        {{"keys", "--listen", "/first", "--listen", "/second"}, "/second"},
        {{"serve", "--listen"}, "--listen"},
        {{"serve", "--content"}, "--content"},
        {{"serve", "--state"}, "--state"},
        {{"serve", "--listen", ""}, NULL},
        {{"serve", "--listen", "nowhere"}, "nowhere"},
        {{"serve", "--listen", "localhost:1965"}, "localhost:1965"},
        {{"serve", "--listen", "127.0.0.1"}, "127.0.0.1"},
        {{"serve", "--listen", "127.0.0.1:0"}, "127.0.0.1:0"},
        {{"serve", "--listen", "127.0.0.1:65536"}, "127.0.0.1:65536"},
        {{"serve", "--listen", "127.0.0.1:19x"}, "127.0.0.1:19x"},
        {{"serve", "--listen", "127.0.0.1:-1"}, "127.0.0.1:-1"},
        {{"serve", "--listen", "300.0.0.1:1965"}, "300.0.0.1:1965"},
        {{"serve", "--listen", "::1:1965x"}, "::1:1965x"},
        {{"serve", "--listen", "[::1]"}, "[::1]"},
        {{"serve", "--listen", "[::g]:1965"}, "[::g]:1965"},
        {{"serve", "--content="}, "--content"},
        {{"bad\x1b[31m\nverb"}, "bad"},
    };
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        int status = run_program(output, sizeof output, uses[i].arguments);
        expect_one_line(status, EX_USAGE, uses[i].about);
    }
}

/* Runs serve with these folders on the test's port. */
static int serve_with(const char *content, const char *state) {
    char listen[64];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", server.port);
    const char *arguments[] = {"serve", "--listen", listen, "--content", content, "--state", state, NULL};
    return run_program(output, sizeof output, arguments);
}

Test(commands, a_missing_folder_is_66_and_named) {
    char content[128], state[128], missing[128], file[128];
    snprintf(content, sizeof content, "%s/content", server.folder);
    snprintf(state, sizeof state, "%s/state", server.folder);
    snprintf(missing, sizeof missing, "%s/missing", server.folder);
    snprintf(file, sizeof file, "%s/content/localhost/index.gmi", server.folder);
    expect_one_line(serve_with(missing, state), EX_NOINPUT, missing);
    expect_one_line(serve_with(content, missing), EX_NOINPUT, missing);
    expect_one_line(serve_with(file, state), EX_NOINPUT, file);
    expect_one_line(serve_with(content, file), EX_NOINPUT, file);
    expect_one_line(serve_with("/nowhere/at/all", "/nowhere/either"), EX_NOINPUT, "/nowhere/at/all");
}

Test(commands, an_unreadable_folder_is_66_and_named) {
    char content[128], state[128];
    snprintf(content, sizeof content, "%s/content", server.folder);
    snprintf(state, sizeof state, "%s/state", server.folder);
    cr_assert_eq(chmod(content, 0), 0);
    if (geteuid() == 0) { /* root can read everything, so become another user */
        cr_assert_eq(chmod(server.folder, 0755), 0);
        cr_assert_eq(chown(state, 65534, 65534), 0);
        cr_assert_eq(setgid(65534), 0);
        cr_assert_eq(setuid(65534), 0);
    }
    expect_one_line(serve_with(content, state), EX_NOINPUT, content);
}

Test(commands, a_folder_without_capsules_is_66_and_named) {
    char content[128], state[128];
    snprintf(content, sizeof content, "%s/empty", server.folder);
    snprintf(state, sizeof state, "%s/state", server.folder);
    cr_assert_eq(mkdir(content, 0755), 0);
    expect_one_line(serve_with(content, state), EX_NOINPUT, content);
}

Test(commands, a_port_in_use_is_named) {
    char listen[64], content[128], state[128];
    server_start(&server);
    snprintf(listen, sizeof listen, "%u", server.port);
    snprintf(content, sizeof content, "%s/content", server.folder);
    snprintf(state, sizeof state, "%s/state", server.folder);
    expect_one_line(serve_with(content, state), EX_UNAVAILABLE, listen);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

Test(commands, the_version_names_wolfssl) {
    int digits = 0;
    cr_expect_eq(run_program(output, sizeof output, (const char *const[]){"--version", NULL}), 0);
    cr_expect_eq(sscanf(output, "vitrine %d.%*d.%*d", &digits), 1, "%s", output);
    const char *library = strstr(output, "wolfSSL ");
    cr_assert_not_null(library, "%s", output);
    cr_expect_eq(sscanf(library, "wolfSSL %d.%*d.%*d", &digits), 1, "%s", output);
}

Test(commands, help_names_every_option) {
    cr_expect_eq(run_program(output, sizeof output, (const char *const[]){"--help", NULL}), 0);
    cr_expect(strstr(output, "--listen") && strstr(output, "--content") && strstr(output, "--state"), "%s", output);
}

Test(commands, several_addresses_of_both_families) {
    char four[64], six[64], other[64];
    uint16_t second = free_port();
    snprintf(four, sizeof four, "--listen=127.0.0.1:%u", server.port);
    snprintf(six, sizeof six, "--listen=[::1]:%u", server.port);
    snprintf(other, sizeof other, "--listen=127.0.0.1:%u", second);
    server.arguments[0] = four;
    server.arguments[1] = six;
    server.arguments[2] = other;
    server_start(&server);
    struct gemini_way way = way_to(&server);
    cr_expect_eq(ask_by(&way, "gemini://localhost:PORT/")->status, 20);
    way.address = "::1";
    cr_expect_eq(ask_by(&way, "gemini://localhost:PORT/")->status, 20);
    way = way_to(&server);
    way.port = second;
    cr_expect_eq(ask_by(&way, "gemini://localhost:PORT/")->status, 20, "by the second port");
}

Test(commands, all_addresses_of_both_families) {
    char all[64];
    snprintf(all, sizeof all, "--listen=[::]:%u", server.port);
    server.arguments[0] = all;
    server_start(&server);
    struct gemini_way way = way_to(&server);
    cr_expect_eq(ask_by(&way, "gemini://localhost:PORT/")->status, 20);
    way.address = "::1";
    cr_expect_eq(ask_by(&way, "gemini://localhost:PORT/")->status, 20);
}

/* ---- as the first process of a container ---- */

/* Each test can have one such process: when it ends, its PID namespace accepts no other. */
static int run_as_init(const char *const *arguments) {
    if (unshare(CLONE_NEWPID) != 0) {
        if (errno == EPERM)
            cr_skip_test("this machine forbids namespaces");
        cr_assert_fail("a PID namespace: %s", strerror(errno));
    }
    return run_program(output, sizeof output, arguments);
}

Test(commands, as_an_init_it_obeys_version) {
    cr_expect_eq(run_as_init((const char *const[]){"--version", NULL}), 0, "%s", output);
    cr_expect_eq(strncmp(output, "vitrine ", 8), 0, "%s", output);
}

Test(commands, as_an_init_it_obeys_check) {
    char content[128], state[128];
    snprintf(content, sizeof content, "%s/content", server.folder);
    snprintf(state, sizeof state, "%s/state", server.folder);
    run_as_init((const char *const[]){"check", "--content", content, "--state", state, NULL});
    cr_expect(strstr(output, "errors"), "%s", output);
}

Test(commands, as_an_init_it_says_what_is_wrong_with_a_command) {
    expect_one_line(run_as_init((const char *const[]){"check", "--no-such-option", NULL}), EX_USAGE,
                    "--no-such-option");
}

/*
 * Kernels and engines pass arguments to an init that are not meant for it. Vitrine then ignores them and serves with
 * its defaults.
 */
Test(commands, as_an_init_it_serves_in_spite_of_arguments_for_others) {
    int status = run_as_init((const char *const[]){"quiet", "3", NULL});
    cr_expect_neq(status, EX_USAGE, "%s", output);
    cr_expect(strstr(output, "1965") || strstr(output, "/srv/gemini"), "it does not try to serve: %s", output);
}

Test(commands, as_an_init_it_serves_without_a_command) {
    int status = run_as_init((const char *const[]){NULL});
    cr_expect_neq(status, EX_USAGE, "%s", output);
    cr_expect(strstr(output, "1965") || strstr(output, "/srv/gemini"), "it does not try to serve: %s", output);
}
