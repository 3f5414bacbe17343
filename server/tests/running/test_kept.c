/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pages that the server keeps in memory: a thousand changes of every kind, each made after the server kept the page,
 * and each visible in the next response.
 */

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/server.h"

#define ROUNDS 44
#define PREPARED 3 /* seconds, because recently changed files are not kept */

static struct server server;

/* Each runs in its own folder, whose page is p.gmi with the text "old", unless it says otherwise. */
static const struct {
    const char *name;
    const char *before, *change; /* for a shell in that folder */
    const char *path;            /* of the request */
    int status;
    const char *meta, *body; /* afterwards; NULL: any */
} changes[] = {
    {"same-size", ":", "printf new | dd of=p.gmi conv=notrunc status=none", "p.gmi", 20, NULL, "new"},
    {"longer", ":", "printf longer >>p.gmi", "p.gmi", 20, NULL, "oldlonger"},
    {"shorter", ":", ": >p.gmi", "p.gmi", 20, NULL, ""},
    {"set-back", "touch -r p.gmi time", "printf new >p.gmi; touch -r time p.gmi", "p.gmi", 20, NULL, "new"},
    {"renamed-over", "printf new >n", "mv n p.gmi", "p.gmi", 20, NULL, "new"},
    {"removed", ":", "rm p.gmi", "p.gmi", 51, NULL, NULL},
    {"closed", ":", "chmod 0 p.gmi", "p.gmi", 51, NULL, NULL},
    {"folder-in-place", "mkdir n", "rm p.gmi; mv n p.gmi", "p.gmi", 31, NULL, NULL},
    {"new-metadata", ":", "echo '*: ;lang=fr' >.meta", "p.gmi", 20, "text/gemini;lang=fr", "old"},
    {"edited-metadata", "echo '*: ;lang=de' >.meta", "printf '*: ;lang=fr' | dd of=.meta conv=notrunc status=none",
     "p.gmi", 20, "text/gemini;lang=fr", "old"},
    {"replaced-metadata", "echo '*: ;lang=de' >.meta; echo '*: ;lang=fr' >n", "mv n .meta", "p.gmi", 20,
     "text/gemini;lang=fr", "old"},
    {"removed-metadata", "echo '*: ;lang=de' >.meta", "rm .meta", "p.gmi", 20, "text/gemini", "old"},
    {"status-in-metadata", "echo '#' >.meta", "echo 'p.gmi: 52 Gone' >.meta", "p.gmi", 52, "Gone", NULL},
    {"outer-metadata", "mkdir -p a/b; mv p.gmi a/b", "echo '**/*.gmi: ;lang=fr' >.meta", "a/b/p.gmi", 20,
     "text/gemini;lang=fr", "old"},
    {"linked-metadata", "echo '*: ;lang=de' >m; ln -s m .meta", "echo '*: ;lang=fr' >m", "p.gmi", 20,
     "text/gemini;lang=fr", "old"},
    {"list", ":", ": >.access", "p.gmi", 60, NULL, NULL},
    {"outer-list", "mkdir -p a/b; mv p.gmi a/b", ": >.access", "a/b/p.gmi", 60, NULL, NULL},
    {"folder", "mkdir a n; mv p.gmi a; printf new >n/p.gmi", "mv a o; mv n a", "a/p.gmi", 20, NULL, "new"},
    {"page-in-front", "mv p.gmi index.gemini", "printf new >index.gmi", "", 20, NULL, "new"},
    {"link", "mv p.gmi q; ln -s q p.gmi; printf new >r; ln -s r n", "mv -T n p.gmi", "p.gmi", 20, NULL, "new"},
    {"behind-a-link", "mv p.gmi q; ln -s q p.gmi", "printf new >q", "p.gmi", 20, NULL, "new"},
    {"linked-folder", "mkdir v1 v2; mv p.gmi v1; ln -s v1 d; printf new >v2/p.gmi; ln -s v2 n", "mv -T n d", "d/p.gmi",
     20, NULL, "new"},
    {"list-behind-a-link", "mkdir v1; mv p.gmi v1; ln -s v1 d", ": >v1/.access", "d/p.gmi", 60, NULL, NULL},
};

#define CHANGES (sizeof changes / sizeof changes[0])

static void begin(void) {
    server_prepare(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(kept, .init = begin, .fini = end, .timeout = 300);

/* Runs one shell for all folders of a round. */
static void run(const char *text) {
    cr_assert_eq(system(text), 0, "%s", text);
}

static void prepare(unsigned round) {
    char *commands = NULL;
    size_t size;
    FILE *out = open_memstream(&commands, &size);
    fprintf(out, "set -e; cd %s/content/localhost; umask 022", server.folder);
    for (size_t i = 0; i < CHANGES; i++)
        fprintf(out, "; ( mkdir -p %u/%s; cd %u/%s; printf old >p.gmi; %s )", round, changes[i].name, round,
                changes[i].name, changes[i].before);
    fclose(out);
    run(commands);
    free(commands);
}

static void expect_change(unsigned round, size_t number) {
    char request[256], command[512];
    const char *name = changes[number].name;
    snprintf(request, sizeof request, "gemini://localhost:PORT/%u/%s/%s", round, name, changes[number].path);
    for (int i = 0; i < 2; i++) {
        const struct gemini_reply *reply = ask(&server, request);
        cr_assert(reply->status == 20 && strcmp(reply->body, "old") == 0, "%s: %d %s", name, reply->status,
                  reply->body);
    }
    snprintf(command, sizeof command, "umask 022; cd %s/content/localhost/%u/%s && { %s; }", server.folder, round, name,
             changes[number].change);
    run(command);
    const struct gemini_reply *reply = ask(&server, request);
    cr_expect_eq(reply->status, changes[number].status, "%s: %d %s", name, reply->status, reply->meta);
    if (changes[number].meta)
        cr_expect_str_eq(reply->meta, changes[number].meta, "%s", name);
    if (changes[number].body)
        cr_expect_str_eq(reply->body, changes[number].body, "%s", name);
}

static void start(void) {
    server_put_settings(&server, "max-handshakes-per-minute = 0\nmax-requests-per-minute = 0\n");
    /* One worker answers everything, so that its kept pages are used. */
    cpu_set_t all, one;
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    }
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    server_start(&server);
    cr_assert_eq(sched_setaffinity(0, sizeof all, &all), 0);
    pid_t workers[WORKERS_MAX];
    cr_assert_eq(server_workers(&server, workers), 1);
}

Test(kept, a_thousand_changes_count_at_once) {
    for (unsigned round = 0; round < ROUNDS; round++)
        prepare(round);
    start();
    sleep(PREPARED);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < CHANGES; i++)
            expect_change(round, i);
    }
}
