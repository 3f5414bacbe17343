/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Usage: surface | surface --needed TEST FOLDER [TEST FOLDER]...
 *
 * Prints which parts of the kernel the processes of Vitrine can reach (server/common/sandbox_rules.h), as a Markdown
 * table. With --needed, prints which test needs each rule, according to the output of strace(1) for the servers that
 * the test started: one file for each process in the folder (image-tests/check-surface). Exit status 1 if no test needs
 * a rule.
 */

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SANDBOX_TEXT
#include "common/sandbox_rules.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define ROLES 4
#define RULES_MAX 256

enum role { SUPERVISOR, KEYS, WORKER, PROBE };

static const char *const names[ROLES] = {"supervisor", "key process", "worker", "probe"};

/* The rules of the supervisor are followed by those of the key process. Returns NULL after the last one. */
static const struct rule *rule_at(enum role role, size_t at) {
    if (role == WORKER)
        return at < COUNT(worker_rules) ? &worker_rules[at] : NULL;
    if (role == PROBE)
        return at < COUNT(probe_rules) ? &probe_rules[at] : NULL;
    if (role == SUPERVISOR && at < COUNT(supervisor_rules))
        return &supervisor_rules[at];
    if (role == SUPERVISOR)
        at -= COUNT(supervisor_rules);
    return at < COUNT(keys_rules) ? &keys_rules[at] : NULL;
}

/* ---- the table ---- */

/* Describes the allowed arguments. The next call overwrites the result. It contains no bar, which would end a table
 * cell. */
static const char *words_of(const struct rule *rule) {
    static char words[512];
    size_t size = 0;
    words[0] = '\0';
    for (size_t i = 0; i < CHECKS_MAX; i++) {
        const struct check *check = &rule->checks[i];
        if (check->kind != CHECK_NONE)
            size += (size_t)snprintf(words + size, sizeof words - size, "%s%u %s", size ? "; " : "",
                                     check->argument + 1u, check->text);
    }
    for (char *bar; (bar = strchr(words, '|'));)
        *bar = '+';
    if (rule->verdict == VERDICT_ABSENT)
        return "answered with ENOSYS";
    if (rule->verdict == VERDICT_NO_MEMORY)
        return "answered with ENOMEM";
    return words[0] ? words : "any";
}

struct row {
    char call[32], words[512];
    bool has[ROLES];
};

static int by_call(const void *one, const void *other) {
    const struct row *left = one, *right = other;
    int order = strcmp(left->call, right->call);
    return order ? order : strcmp(left->words, right->words);
}

static size_t collect(struct row *rows) {
    size_t count = 0, at;
    for (enum role role = 0; role < ROLES; role++) {
        for (size_t i = 0; rule_at(role, i); i++) {
            const struct rule *rule = rule_at(role, i);
            const char *words = words_of(rule);
            for (at = 0; at < count && (strcmp(rows[at].call, rule->name) != 0 || strcmp(rows[at].words, words) != 0);)
                at++;
            if (at == count) {
                snprintf(rows[at].call, sizeof rows[at].call, "%s", rule->name);
                snprintf(rows[at].words, sizeof rows[at].words, "%s", words);
                count++;
            }
            rows[at].has[role] = true;
        }
    }
    qsort(rows, count, sizeof *rows, by_call);
    return count;
}

/* Counts the calls that reach the kernel. */
static size_t calls_of(enum role role) {
    size_t count = 0;
    for (size_t i = 0; rule_at(role, i); i++) {
        bool known = rule_at(role, i)->verdict != VERDICT_ALLOWED;
        for (size_t j = 0; j < i && !known; j++)
            known = rule_at(role, j)->call == rule_at(role, i)->call && rule_at(role, j)->verdict == VERDICT_ALLOWED;
        count += !known;
    }
    return count;
}

static size_t checks_of(enum role role) {
    size_t count = 0;
    for (size_t i = 0; rule_at(role, i); i++) {
        for (size_t j = 0; j < CHECKS_MAX; j++)
            count += rule_at(role, i)->checks[j].kind != CHECK_NONE;
    }
    return count;
}

static int print_table(void) {
    static struct row rows[ROLES * RULES_MAX];
    size_t count = collect(rows);
    printf("| | supervisor | key process | worker | probe |\n|---|---|---|---|---|\n");
    printf("| system calls | %zu | %zu | %zu | %zu |\n", calls_of(SUPERVISOR), calls_of(KEYS), calls_of(WORKER),
           calls_of(PROBE));
    printf("| checks of their arguments | %zu | %zu | %zu | %zu |\n\n", checks_of(SUPERVISOR), checks_of(KEYS),
           checks_of(WORKER), checks_of(PROBE));
    printf("| system call | arguments | supervisor | key process | worker | probe |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++)
        printf("| %s | %s | %s | %s | %s | %s |\n", rows[i].call, rows[i].words, rows[i].has[SUPERVISOR] ? "x" : "",
               rows[i].has[KEYS] ? "x" : "", rows[i].has[WORKER] ? "x" : "", rows[i].has[PROBE] ? "x" : "");
    return 0;
}

/* ---- which test needs a rule ---- */

static const char *needed_by[ROLES][RULES_MAX];

static bool fits(const struct rule *rule, const char *name, const uint64_t arguments[6]) {
    if (strcmp(rule->name, name) != 0)
        return false;
    for (size_t i = 0; i < CHECKS_MAX; i++) {
        const struct check *check = &rule->checks[i];
        uint64_t argument = arguments[check->argument];
        if ((check->kind == CHECK_IS && argument != check->value) ||
            (check->kind == CHECK_INT && (uint32_t)argument != check->value) ||
            (check->kind == CHECK_ONLY && (argument & ~(uint64_t)check->value) != 0) ||
            (check->kind == CHECK_RANGE && ((uint32_t)argument < check->first || (uint32_t)argument > check->value)))
            return false;
    }
    return true;
}

/* The first rule that allows the call is the one that is needed. */
static void find(enum role role, const char *test, const char *name, const uint64_t arguments[6]) {
    for (size_t i = 0; rule_at(role, i) && i < RULES_MAX; i++) {
        if (!fits(rule_at(role, i), name, arguments))
            continue;
        if (!needed_by[role][i])
            needed_by[role][i] = test;
        return;
    }
}

/* A line of strace, for example: sendto(0x7, 0x7f0012345678, 0x43, 0x4000, 0, 0) = 0x43 */
static void note(enum role role, bool child, const char *test, char *line) {
    uint64_t arguments[6] = {0};
    char *at = strchr(line, '(');
    if (!at)
        return;
    *at++ = '\0';
    for (size_t i = 0; i < 6 && *at && *at != ')'; i++) {
        arguments[i] = strtoull(at, &at, 0);
        at += strcspn(at, ",)");
        at += *at == ',';
    }
    find(role, test, line, arguments);
    if (child && role != SUPERVISOR)
        find(SUPERVISOR, test, line, arguments); /* its filter also applies to the processes that it starts */
}

/* Reads the trace of one process. Until a process enters its own sandbox, only its parent's applies; the first process
 * starts without one. */
static void read_process(const char *test, const char *path) {
    static char line[4096];
    FILE *file = fopen(path, "r");
    bool inside = false, first = true, child = false;
    enum role role = SUPERVISOR, becomes = SUPERVISOR;
    for (; file && fgets(line, sizeof line, file); first = false) {
        if (first)
            inside = child = strncmp(line, "execve(", 7) != 0;
        if (strstr(line, "\"vitrine-worker\""))
            becomes = WORKER;
        else if (strstr(line, "\"vitrine-keys\""))
            becomes = KEYS;
        else if (strstr(line, "\"vitrine-probe\""))
            becomes = PROBE;
        if (inside)
            note(role, child, test, line);
        if (strncmp(line, "seccomp", 7) == 0) {
            inside = true;
            role = becomes;
        }
    }
    if (file)
        fclose(file);
}

static void read_folder(const char *test, const char *name) {
    char path[4096];
    DIR *folder = opendir(name);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        read_process(test, path);
    }
    if (folder)
        closedir(folder);
}

static int print_needs(void) {
    int status = 0;
    for (enum role role = 0; role < ROLES; role++) {
        for (size_t i = 0; rule_at(role, i) && i < RULES_MAX; i++) {
            const struct rule *rule = rule_at(role, i);
            const char *test = needed_by[role][i];
            bool is_own = role != SUPERVISOR || i < COUNT(supervisor_rules); /* the others belong to the key process */
            if (!is_own || rule->verdict != VERDICT_ALLOWED)
                continue;
            printf("%s\t%s\t%s\t%s\n", names[role], rule->name, words_of(rule), test ? test : "nobody");
            status |= !test;
        }
    }
    return status;
}

int main(int count, char **arguments) {
    if (count == 1)
        return print_table();
    if (count < 4 || count % 2 != 0 || strcmp(arguments[1], "--needed") != 0)
        return fputs("usage: surface | surface --needed TEST FOLDER [TEST FOLDER]...\n", stderr), 64;
    for (int i = 2; i + 1 < count; i += 2)
        read_folder(arguments[i], arguments[i + 1]);
    return print_needs();
}
