/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The part of a test build of the server that runs attempts: a request for /breach/NUMBER runs that attempt in a worker
 * that has entered its sandbox, and the response contains the result. The linker replaces the server's own functions
 * with these, __wrap_NAME (--wrap=NAME in mk/attack-programs.mk); the originals are __real_NAME here.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attempt.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "content/serve.h"
#include "worker/connection.h"
#include "worker/signing_client.h"
#include "worker/worker.h"

#define SURROUNDINGS "/etc/vitrine/surroundings"

int __real_main(int count, char **arguments);
int __wrap_main(int count, char **arguments);
int __real_sandbox_enter(enum sandbox_role role, int folder);
int __wrap_sandbox_enter(enum sandbox_role role, int folder);
void __real_signing_client_open(struct signing_client *signing_client, int channel);
void __wrap_signing_client_open(struct signing_client *signing_client, int channel);
int __real_worker_serve(const struct worker_setup *setup);
int __wrap_worker_serve(const struct worker_setup *setup);
int __real_serve_path(const struct question *question, const char *capsule);
int __wrap_serve_path(const struct question *question, const char *capsule);
void __real_connection_end(struct connection *connection, struct worker_context *bench);
void __wrap_connection_end(struct connection *connection, struct worker_context *bench);
size_t __wrap_processors_allowed(void);

static struct surroundings surroundings;
static bool used;
static pid_t process; /* a worker may not call getpid */

/* Uses many workers: most attempts end theirs, and a worker that lived only briefly is not replaced at once. A
 * processor with arm64 is usually emulated, and the supervisor gives workers 20 seconds to start. */
size_t __wrap_processors_allowed(void) {
#ifdef __aarch64__
    return 24;
#else
    return 64;
#endif
}

/* This is the program that attempts try to start. */
int __wrap_main(int count, char **arguments) {
    if (count >= 2 && strncmp(arguments[1], "--ran", 5) == 0)
        return ATTEMPT_RAN;
    return __real_main(count, arguments);
}

/* The supervisor reads where everything is while it still can; workers inherit the result. */
int __wrap_sandbox_enter(enum sandbox_role role, int folder) {
    if (role == SANDBOX_SUPERVISOR && !surroundings_read(SURROUNDINGS, &surroundings))
        log_line(LOG_LEVEL_WARNING, "breach: " SURROUNDINGS ": %s", attempt_reason);
    process = getpid();
    return __real_sandbox_enter(role, folder);
}

/* Sets what this worker shares with others. */
int __wrap_worker_serve(const struct worker_setup *setup) {
    const struct worker_shared *other = setup->shared == setup->all_shared ? setup->all_shared + 1 : setup->all_shared;
    surroundings.log = STDERR_FILENO;
    surroundings.listener = setup->listeners[0].descriptor;
    surroundings.others_counters = (char *)(uintptr_t)other;
    surroundings.own_beats = &setup->shared->beats;
    return __real_worker_serve(setup);
}

void __wrap_signing_client_open(struct signing_client *signing_client, int channel) {
    surroundings.keys_descriptor = channel;
    __real_signing_client_open(signing_client, channel);
}

int __wrap_serve_path(const struct question *question, const char *capsule) {
    static const char *const outcomes[] = {"contained", "succeeded", "absent"};
    char meta[REPLY_META_MAX + 1];
    size_t number;
    const char *path = strstr(question->request->path, "breach/");
    if (!path || sscanf(path, "breach/%zu", &number) != 1 || number >= attempt_count)
        return __real_serve_path(question, capsule);
    log_line(LOG_LEVEL_WARNING, "breach: attempt %zu begins in process %d", number, (int)process);
    attempt_reason[0] = '\0';
    used = true;
    int outcome = attempts[number].try(&surroundings);
    snprintf(meta, sizeof meta, "%s: %s", outcomes[outcome], attempt_reason);
    for (char *at = meta; *at; at++) {
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
            *at = '?';
    }
    reply_set(question->reply, STATUS_CGI_ERROR, meta);
    return 0;
}

/* After an attempt, a worker may no longer work. */
void __wrap_connection_end(struct connection *connection, struct worker_context *bench) {
    __real_connection_end(connection, bench);
    if (used)
        _exit(0);
}
