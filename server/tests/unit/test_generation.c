/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a start and a reload make of the content folder and of the key process's responses. */
#include <criterion/criterion.h>

/*
 * This file includes the source under test; renaming avoids conflicts with the linked copy. A simulated key process
 * gives the responses that a test wants.
 */
#define generation_open test_open
#define generation_identify test_identify
#define generation_dispose test_dispose
#define key_client_provide pretended_provide
#define key_client_provide_sample pretended_provide_sample
#define key_client_refresh pretended_refresh
#define key_client_prepare pretended_prepare
#include "supervisor/generation.c"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "logged.h"

#define CONTROL 4711

static char base[] = "/tmp/vitrine-generation-XXXXXX", setup[256];
static const struct generation_sources sources = {.settings = "settings", .content = "content", .sample = "sample"};
static struct generation generation;
static enum key_client_answer sample_answer = KEY_CLIENT_PROVIDED;

static void shell(const char *command) {
    cr_assert_eq(system(command), 0, "%s", command);
}

static void prepare(void) {
    cr_assert_not_null(mkdtemp(base));
    cr_assert_eq(chdir(base), 0);
    chmod(base, 0755);
    shell("umask 022; mkdir content sample sample/localhost; : >settings");
    log_limit(LOG_LEVEL_NOTICE);
}

static void clean(void) {
    test_dispose(&generation);
    test_dispose(&generation);
    cr_assert_eq(chdir("/"), 0);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", base);
    shell(command);
}

TestSuite(generation, .init = prepare, .fini = clean, .timeout = 60);

static enum key_client_answer give(const char *host, struct certificates *certificates) {
    cr_assert(certificates_bar(certificates, host));
    certificates->barred--;
    struct certificate *certificate = (struct certificate *)(uintptr_t)certificates_find(certificates, host);
    certificate->chain = strdup("a chain");
    return KEY_CLIENT_PROVIDED;
}

static char prepared[8192]; /* hosts, each followed by a space */

void pretended_prepare(int control, const char *host) {
    cr_expect_eq(control, CONTROL);
    strcat(strcat(prepared, host), " ");
}

/* The first letter of a host decides: given, unusable, silent; any other means none. */
bool pretended_provide(int control, char *const *hosts, size_t count, struct certificates *certificates,
                       key_client_told *told, void *context) {
    cr_expect_eq(control, CONTROL);
    for (size_t i = 0; i < count; i++) {
        const char *host = hosts[i];
        if (certificates_find(certificates, host))
            continue;
        sprintf(setup + strlen(setup), "%s;", host);
        if (host[0] == 's')
            return false;
        told(host,
             host[0] == 'u'   ? KEY_CLIENT_UNUSABLE
             : host[0] == 'n' ? KEY_CLIENT_HAVE_NONE
                              : give(host, certificates),
             context);
    }
    return true;
}

enum key_client_answer pretended_provide_sample(int control, const char *host, struct certificates *certificates) {
    cr_expect_eq(control, CONTROL);
    sprintf(setup + strlen(setup), "sample %s;", host);
    return sample_answer == KEY_CLIENT_PROVIDED ? give(host, certificates) : sample_answer;
}

void pretended_refresh(int control) {
    cr_expect_eq(control, CONTROL);
    strcat(setup, "refresh;");
}

static int opened(const char **text) {
    test_dispose(&generation);
    logged_begin();
    int status = test_open(&generation, &sources);
    *text = logged_end();
    return status;
}

static int identified(const char **text) {
    setup[0] = '\0';
    logged_begin();
    int status = test_identify(&generation, &sources, CONTROL);
    *text = logged_end();
    return status;
}

static int identified_anew(const char **text) {
    cr_assert_eq(opened(text), EX_OK);
    return identified(text);
}

Test(generation, what_is_opened) {
    const char *text;
    generation.capsules.folder = -1;
    uint64_t before = clock_microseconds();
    cr_expect_eq(opened(&text), EX_OK);
    cr_expect_str_eq(text, "");
    cr_expect_geq(generation.certificates.generation, before);
    cr_expect_leq(generation.certificates.generation, clock_microseconds());
    cr_expect_eq(generation.settings.max_connections, 650);
    cr_expect_geq(generation.capsules.folder, 0);
    shell("echo max-connections = x >settings");
    cr_expect_eq(opened(&text), EX_CONFIG);
    cr_expect_eq(generation.capsules.folder, -1);
    shell(": >settings; mv content away");
    cr_expect_eq(opened(&text), EX_NOINPUT);
    cr_expect_not_null(strstr(text, "content folder content: No such file or directory; name another with --content"));
    cr_expect_eq(generation.capsules.folder, -1);
}

Test(generation, pages_of_no_host) {
    const char *text;
    generation.capsules.folder = -1;
    shell("mkdir content/index.gmi");
    cr_expect_eq(opened(&text), EX_OK);
    cr_expect_not(generation.has_lost_page);
    shell(": >content/index.gemini");
    cr_expect_eq(opened(&text), EX_OK);
    cr_expect(generation.has_lost_page);
    cr_expect_not_null(strstr(text, "content/index.gemini belongs to no host and is not served"));
    shell("rmdir content/index.gmi; ln -s nothing content/index.gmi");
    cr_expect_eq(opened(&text), EX_OK);
    cr_expect_eq(logged_count(text, "belongs to no host"), 1, "%s", text);
    cr_expect_not_null(strstr(text, "content/index.gmi belongs to no host"));
}

/* Content that is closed to everybody: workers of root run as nobody. */
Test(generation, what_is_closed_to_the_server) {
    const char *text;
    generation.capsules.folder = -1;
    shell(
        "umask 022; cd content; mkdir -p h/open h/closed/within h/half h/lost+found lost+found .hidden h/.hidden; "
        "for f in top h/page h/open/page h/closed/page lost+found/page .hidden/page h/.hidden/page h/lost+found/page; "
        "do echo x >$f; chmod 600 $f; done; chmod 644 h/open/page; ln -s h/page h/link; chmod 640 h/.access "
        "2>/dev/null; "
        "chmod 750 h/closed; chmod 754 h/half");
    cr_expect_eq(opened(&text), EX_OK);
    cr_expect_eq(generation.closed_count, 4, "%zu", generation.closed_count);
    cr_expect_eq(logged_count(text, "\n"), 1, "%s", text);
    cr_expect_not_null(strstr(text, "the server cannot read 4 files or folders of capsules, such as \"h/"), "%s", text);
    cr_expect_not_null(strstr(text, "run: chmod -R o+rX content\n"));
    shell("cd content; chmod 644 h/page h/lost+found/page; chmod 755 h/half");
    cr_expect_eq(opened(&text), EX_OK);
    cr_expect_eq(generation.closed_count, 1);
    cr_expect_not_null(strstr(text, " 1 file or folder of capsules, such as \"h/closed\";"), "%s", text);
    /* If the content folder itself is closed, workers of root stay root. */
    for (int mode = 0; geteuid() == 0 && mode < 3; mode++) {
        cr_assert_eq(chmod("content", (mode_t[]){0750, 0754, 0751}[mode]), 0);
        cr_expect_eq(opened(&text), EX_OK);
        cr_expect_eq(generation.closed_count, 0);
    }
    cr_assert_eq(chmod("content", 0755), 0);
    /* Checks nested folders down to a certain depth. */
    shell("chmod 755 content/h/closed; chmod 644 content/h/closed/page; mkdir -p "
          "content/h/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16; cd content/h/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15; "
          "echo x >page; chmod 600 page; cp page 16/; chmod 600 16/page");
    cr_expect_eq(opened(&text), EX_OK);
    cr_expect_eq(generation.closed_count, 1, "%s", text);
    cr_expect_not_null(strstr(text, "such as \"h/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/page\";"), "%s", text);
}

/* For a user other than root, content that this user cannot read is closed. */
Test(generation, what_is_closed_to_this_user) {
    struct closed closed = {0};
    int said[2];
    shell("umask 022; cd content; mkdir h h/open h/half; for f in h/a h/b h/c h/open/d; do echo x >$f; done; "
          "chmod 600 h/a h/open/d; chmod 604 h/b; chmod 754 h/half; chmod 750 .");
    int folder = open("content", O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert(folder >= 0 && pipe(said) == 0);
    if (geteuid() != 0)
        cr_skip_test("only root can become somebody else");
    cr_assert_eq(chmod("content", 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        if (setgid(65534) == 0 && setuid(65534) == 0)
            closed_find(&closed, folder);
        (void)!write(said[1], &closed, sizeof closed);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(read(said[0], &closed, sizeof closed), (ssize_t)sizeof closed);
    cr_expect_eq(closed.count, 3, "%zu", closed.count);
    cr_expect_eq(closed.looks, 7);
    close(said[0]), close(said[1]), close(folder);
}

/* Nothing stays open, whatever the result is. */
Test(generation, nothing_is_left_open) {
    const char *text;
    generation.capsules.folder = -1;
    shell("mkdir -p content/h/a/b");
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            shell("rm -r content/h");
        if (i == 2)
            shell("rm -r sample");
        int before = dup(STDERR_FILENO);
        close(before);
        identified_anew(&text);
        test_dispose(&generation);
        int after = dup(STDERR_FILENO);
        close(after);
        cr_expect_eq(after, before, "case %d", i);
    }
}

Test(generation, a_search_for_closed_files_has_an_end) {
    struct closed closed;
    shell("mkdir -m 755 content/h; cd content/h; umask 077; seq 19998 | xargs touch");
    int folder = open("content", O_PATH | O_DIRECTORY | O_CLOEXEC);
    closed_find(&closed, folder);
    cr_expect_eq(closed.looks, 19999);
    cr_expect_eq(closed.count, geteuid() == 0 ? 19998 : 0);
    shell("cd content/h; touch a b c");
    closed_find(&closed, folder);
    cr_expect_eq(closed.looks, 20000);
    cr_assert_eq(chmod("content/h", 0700), 0);
    closed_find(&closed, folder);
    cr_expect_eq(closed.looks, geteuid() == 0 ? 1 : 20000, "a closed folder stands for all in it");
    close(folder);
}

Test(generation, identities_of_capsules) {
    const char *text;
    generation.capsules.folder = -1;
    shell("cd content; mkdir a.example bücher.example xn--bcher-kva.example none.example unusable.example lost+found "
          "Upper 'a b'");
    cr_expect_eq(identified_anew(&text), EX_OK);
    cr_expect_eq(strncmp(setup, "refresh;", 8), 0);
    cr_expect_eq(logged_count(setup, ";"), 5, "%s", setup);
    cr_expect_eq(logged_count(setup, "xn--bcher-kva.example;"), 1, "one host, in two spellings");
    cr_expect_eq(generation.capsule_count, 5);
    cr_expect_eq(generation.unnamed_count, 2);
    cr_expect_eq(generation.certificates.barred, 2);
    cr_expect_eq(generation.certificates.count, 4);
    cr_expect_str_eq(generation.fallback, "a.example");
    cr_expect_not(generation.is_sample);
    cr_expect_eq(logged_count(text, "does not have the name of a host"), 2);
    cr_expect_not_null(strstr(text, "folder \"a b\" does not have the name of a host"));
    cr_expect_not_null(strstr(text, "hosts without a usable identity: 2; their handshakes are refused"));
    cr_expect_null(strstr(text, "out of memory"), "%s", text);
    shell("rm -r content/n* content/u*");
    cr_expect_eq(identified_anew(&text), EX_OK);
    cr_expect_null(strstr(text, "without a usable identity"), "%s", text);
    shell("mkdir content/localhost");
    cr_expect_eq(identified_anew(&text), EX_OK);
    cr_expect_str_eq(generation.fallback, "localhost");
    shell("mkdir content/default");
    cr_expect_eq(identified_anew(&text), EX_OK);
    cr_expect_str_eq(generation.fallback, "default");
    shell("mkdir content/silent1.example content/silent2.example content/zoo");
    cr_expect_eq(identified_anew(&text), EX_UNAVAILABLE);
    cr_expect_eq(logged_count(setup, "silent"), 1, "it is not waited for twice");
}

Test(generation, capsules_without_any_identity) {
    const char *text;
    generation.capsules.folder = -1;
    shell("mkdir content/none.example");
    cr_expect_eq(identified_anew(&text), EX_CANTCREAT);
    cr_expect_not_null(strstr(text, "no capsule has a usable identity"));
    shell("mkdir content/unusable.example");
    cr_expect_eq(identified_anew(&text), EX_DATAERR);
    shell("mkdir content/zoo");
    cr_expect_eq(identified_anew(&text), EX_OK);
    cr_expect_str_eq(generation.fallback, "zoo", "the first that can be used");
}

Test(generation, the_sample) {
    const char *text;
    generation.capsules.folder = -1;
    shell("mkdir content/Upper content/lost+found");
    cr_expect_eq(identified_anew(&text), EX_OK);
    cr_expect_str_eq(setup, "refresh;sample localhost;");
    cr_expect(generation.is_sample);
    cr_expect_eq(generation.capsule_count, 1);
    cr_expect_str_eq(generation.capsules.only, "localhost");
    cr_expect_str_eq(generation.fallback, "localhost");
    cr_expect(capsules_serve(&generation.capsules, "any.example", false));
    cr_expect_not_null(strstr(text, "content folder content contains no capsule, so every name shows the sample"));
    sample_answer = KEY_CLIENT_SILENT;
    cr_expect_eq(identified_anew(&text), EX_UNAVAILABLE);
    sample_answer = KEY_CLIENT_UNUSABLE;
    cr_expect_eq(identified_anew(&text), EX_DATAERR);
    sample_answer = KEY_CLIENT_HAVE_NONE;
    cr_expect_eq(identified_anew(&text), EX_NOINPUT);
    cr_expect_not_null(strstr(text, "but there are identities for other hosts"));
    shell("rm -r sample");
    cr_expect_eq(identified_anew(&text), EX_NOINPUT);
    cr_expect_not_null(strstr(text, "contains no capsule; create a folder in it"));
    cr_expect_str_eq(setup, "refresh;");
    shell("mkdir content/silent.example");
    cr_expect_eq(identified_anew(&text), EX_UNAVAILABLE);
}

Test(generation, only_new_hosts_are_prepared) {
    static struct generation next;
    struct generation_sources later = sources;
    shell("mkdir content/given.example content/lost+found 'content/not a host' content/xn--gda.example && "
          ": >content/file");
    cr_assert_eq(test_open(&generation, &sources), 0);
    cr_assert_eq(test_identify(&generation, &sources, CONTROL), 0);
    cr_expect_str_eq(prepared, "given.example xn--gda.example ");
    shell("mkdir content/gnew.example");
    prepared[0] = '\0';
    later.present = &generation.certificates;
    cr_assert_eq(test_open(&next, &later), 0);
    cr_assert_eq(test_identify(&next, &later, CONTROL), 0);
    cr_expect_str_eq(prepared, "gnew.example ");
    test_dispose(&next);
}
