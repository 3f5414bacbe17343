/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "children.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "start.h"
#include "watch.h"

#define HUNG_AFTER 15000   /* milliseconds without a beat: a worker that hangs is killed and replaced */
#define LEAVE_WITHIN 15000 /* milliseconds until a worker of an earlier generation must stop accepting connections */
#define STAY_MAX 900000    /* milliseconds until it must end */
#define EXAMINATION 2000   /* milliseconds to the next beat, if there is doubt about the worker */
#define DELAY_FIRST 50     /* milliseconds before a worker that died young is replaced; doubles each time */
#define DELAY_MAX 10000
#define YOUNG 5000

/* ---- slots ---- */

void children_begin(struct children *children) {
    *children = (struct children){.control = -1, .signals = -1};
    for (size_t i = 0; i < WORKERS_MAX; i++)
        children->workers[i].signing_client = children->workers[i].channel = children->workers[i].log.pipe = -1;
    for (size_t i = 0; i < RETIRED_MAX; i++)
        children->retired[i].log.pipe = -1;
}

void children_close(int *descriptor) {
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

size_t children_shared_size(const struct children *children) {
    return children->shared_count * sizeof *children->all_shared;
}

/* Memory that children share, aligned as its type requires: the kernel aligns only to a page, which may be smaller. */
static struct worker_shared *map_shared(size_t size) {
    const size_t alignment = _Alignof(struct worker_shared);
    char *memory = mmap(NULL, size + alignment, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)memory % alignment;
    if (before > 0)
        munmap(memory, before);
    munmap(memory + before + size, alignment - before);
    return (void *)(memory + before);
}

bool children_make_places(struct children *children, size_t workers) {
    children->worker_count = workers > WORKERS_MAX ? WORKERS_MAX : workers;
    children->shared_count = children->worker_count + RETIRED_MAX;
    children->all_shared = map_shared(children_shared_size(children));
    if (!children->all_shared) {
        log_line(LOG_LEVEL_ERROR, "no memory for workers: %s", strerror(errno));
        return false;
    }
    for (size_t i = 0; i < children->worker_count; i++)
        children->workers[i].shared = &children->all_shared[i];
    for (size_t i = 0; i < RETIRED_MAX; i++)
        children->retired[i].shared = &children->all_shared[children->worker_count + i];
    return true;
}

/* ---- ends ---- */

/* Logs what the supervisor saw itself. A worker that its sandbox ended may have been taken over. */
static void tell_of_the_end(const char *who, pid_t process, int status, int forbidden) {
    bool signalled = WIFSIGNALED(status);
    int how = signalled ? WTERMSIG(status) : WEXITSTATUS(status);
    if (signalled ? how == SIGSYS : how == SANDBOX_EXIT)
        log_line(
            LOG_LEVEL_ERROR,
            "%s (process %d) was killed at a forbidden system call: %s (number %d); an attacker may have taken it over",
            who, (int)process, sandbox_call_name(forbidden), forbidden);
    else
        log_line(LOG_LEVEL_WARNING, "%s (process %d) ended by %s %d", who, (int)process,
                 signalled ? "signal" : "exit status", how);
}

/* Records the end of a worker or of the key process, and when the next one may start. */
static bool record_exit(struct child *child, const char *who, pid_t process, int status) {
    if (child->process != process)
        return false;
    uint64_t now = clock_milliseconds();
    bool young = now - child->started < YOUNG;
    child->process = 0;
    if (child->shared) { /* its connections ended with it */
        child->shared->room = 0;
        memset(&child->shared->quota, 0, sizeof child->shared->quota);
    }
    child->delay = !young ? 0 : child->delay ? child->delay * 2 : DELAY_FIRST;
    if (child->delay > DELAY_MAX)
        child->delay = DELAY_MAX;
    child->start_at = now + child->delay;
    if (child->shared)
        relay_close(&child->log, process, now);
    tell_of_the_end(who, process, status, child->shared ? child->shared->forbidden : -1);
    return true;
}

/* well: the worker ended properly, so the rates that it counted are valid and stay. */
static void clear_shared(struct worker_shared *shared, bool well) {
    memset(shared, 0, well ? offsetof(struct worker_shared, quota) : sizeof *shared);
    shared->used = well;
    if (well)
        quota_forget_connections(&shared->quota);
}

/* A worker of an earlier generation has finished. Its shared memory is free for another. */
static bool reap_retired(struct children *children, pid_t process, int status) {
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        struct child *retired = &children->retired[i];
        if (retired->process == process) {
            relay_close(&retired->log, process, clock_milliseconds());
            bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
            if (!well)
                tell_of_the_end("worker of an earlier generation", process, status, retired->shared->forbidden);
            children->answered += retired->shared->counters.answered;
            clear_shared(retired->shared, well);
            retired->process = 0;
            return true;
        }
    }
    return false;
}

void children_reap(struct children *children) {
    int status;
    pid_t process;
    while ((process = waitpid(-1, &status, WNOHANG)) > 0) {
        bool known =
            reap_retired(children, process, status) || record_exit(&children->keys, "key process", process, status);
        for (size_t i = 0; i < children->worker_count && !known; i++)
            known = record_exit(&children->workers[i], "worker", process, status);
    }
}

/* ---- supervision ---- */

static bool keys_are_missing(const struct children *children) {
    return !children->keys_apart && children->keys.process == 0;
}

static void look_after_keys(struct children *children) {
    uint64_t now = clock_milliseconds();
    int result = keys_are_missing(children) && now >= children->keys.start_at ? children_start_keys(children) : 0;
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot start the key process: %s; trying again", strerror(-result));
        children->keys.process = 0;
        children->keys.start_at = now + DELAY_MAX;
    }
}

static void look_after_workers(struct children *children) {
    uint64_t now = clock_milliseconds();
    for (size_t i = 0; i < children->worker_count; i++) {
        struct child *child = &children->workers[i];
        uint64_t beats = child->shared->beats;
        if (child->process == 0) {
            if (now >= child->start_at)
                children_start_worker(children, i, DELAY_MAX);
        } else if (beats != child->beats) {
            child->beats = beats;
            child->beat_seen = now;
        } else if (now - child->beat_seen > HUNG_AFTER) {
            log_line(LOG_LEVEL_ERROR, "worker %zu (process %d) hangs; ended", i, (int)child->process);
            kill(child->process, SIGKILL);
            child->beat_seen = now;
        }
    }
}

/* A worker that was told to leave must soon stop accepting connections, and end after some time. */
static void look_after_retired(struct children *children) {
    uint64_t now = clock_milliseconds();
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        const struct child *retired = &children->retired[i];
        bool listens = retired->process > 0 && retired->shared->ready && now - retired->retired > LEAVE_WITHIN;
        if (listens || (retired->process > 0 && now - retired->retired > STAY_MAX)) {
            log_line(LOG_LEVEL_WARNING, "worker of an earlier generation (process %d) %s; killed",
                     (int)retired->process, listens ? "did not release the port" : "did not finish within 15 minutes");
            kill(retired->process, SIGKILL);
        }
    }
}

void children_look_after(struct children *children) {
    look_after_keys(children);
    look_after_workers(children);
    look_after_retired(children);
}

void children_examine(struct children *children) {
    uint64_t now = clock_milliseconds();
    for (size_t i = 0; i < children->worker_count; i++)
        children->workers[i].beat_seen = now - HUNG_AFTER + EXAMINATION;
}

uint64_t children_wake(const struct children *children, uint64_t latest) {
    uint64_t wake = latest;
    if (keys_are_missing(children) && children->keys.start_at < wake)
        wake = children->keys.start_at;
    for (size_t i = 0; i < children->worker_count; i++) {
        if (children->workers[i].process == 0 && children->workers[i].start_at < wake)
            wake = children->workers[i].start_at;
    }
    return wake;
}

/* ---- generations ---- */

/* Returns a slot for one more retired worker: a free one, or that of the oldest, which is ended. */
static struct child *retired_slot(struct children *children) {
    struct child *eldest = &children->retired[0];
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        struct child *retired = &children->retired[i];
        if (retired->process == 0)
            return retired;
        if (retired->started < eldest->started)
            eldest = retired;
    }
    int status = 0;
    kill(eldest->process, SIGKILL);
    waitpid(eldest->process, &status, 0);
    reap_retired(children, eldest->process, status);
    return eldest;
}

/*
 * Retires the worker in this slot: it accepts no new connections from now on, and its slot is free for the next
 * generation.
 */
static void retire(struct children *children, size_t number) {
    struct child *child = &children->workers[number];
    if (child->process == 0)
        return;
    struct child *retired = retired_slot(children);
    struct worker_shared *shared = retired->shared;
    kill(child->process, SIGHUP);
    retired->process = child->process;
    retired->started = child->started;
    retired->retired = clock_milliseconds();
    retired->log = child->log;
    child->log.pipe = -1;
    retired->shared = child->shared;
    child->shared = shared;
    child->process = 0;
    child->start_at = 0;
}

void children_renew(struct children *children) {
    for (size_t i = 0; i < children->worker_count; i++) {
        retire(children, i);
        children_start_worker(children, i, DELAY_MAX);
    }
}

size_t children_ready(const struct children *children) {
    size_t ready = 0;
    for (size_t i = 0; i < children->worker_count; i++)
        ready += children->workers[i].process != 0 && children->workers[i].shared->ready;
    return ready;
}

bool children_has_taken_over(const struct children *children) {
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        if (children->retired[i].process != 0 && children->retired[i].shared->ready)
            return false;
    }
    return children_ready(children) == children->worker_count;
}

/* ---- the end ---- */

static void signal_workers(const struct children *children, int signal) {
    for (size_t i = 0; i < children->worker_count; i++) {
        if (children->workers[i].process > 0)
            kill(children->workers[i].process, signal);
    }
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        if (children->retired[i].process > 0)
            kill(children->retired[i].process, signal);
    }
}

static bool any_worker(const struct children *children) {
    bool any = false;
    for (size_t i = 0; i < children->worker_count; i++)
        any |= children->workers[i].process > 0;
    for (size_t i = 0; i < RETIRED_MAX; i++)
        any |= children->retired[i].process > 0;
    return any;
}

static void stop_within(struct children *children, unsigned milliseconds) {
    uint64_t give_up = clock_milliseconds() + milliseconds;
    signal_workers(children, milliseconds > 0 ? SIGTERM : SIGKILL);
    while (any_worker(children)) {
        uint64_t now = clock_milliseconds();
        int signal = now < give_up ? children_wait(children, give_up - now) : 0;
        if (signal == 0 && milliseconds > 0)
            log_line(LOG_LEVEL_WARNING, "workers have not finished within %u seconds; ended", milliseconds / 1000);
        if (signal != SIGCHLD)
            signal_workers(children, SIGKILL);
        int status;
        pid_t process;
        while (any_worker(children) &&
               (process = waitpid(-1, &status, now < give_up && signal == SIGCHLD ? WNOHANG : 0)) > 0) {
            reap_retired(children, process, status);
            for (size_t i = 0; i < children->worker_count; i++) {
                if (children->workers[i].process == process) {
                    relay_close(&children->workers[i].log, process, now);
                    children->workers[i].process = 0;
                }
            }
            if (children->keys.process == process)
                children->keys.process = 0;
        }
    }
}

void children_stop_workers(struct children *children) {
    stop_within(children, CHILDREN_SHUTDOWN_GRACE + 1000);
}

void children_end_workers(struct children *children) {
    stop_within(children, 0);
}

/* It ends last: workers need it for the handshakes that they finish. */
static void stop_keys(struct children *children) {
    children_close(&children->control);
    if (children->keys.process > 0) {
        kill(children->keys.process, SIGTERM);
        kill(children->keys.process, SIGCONT); /* also if somebody had stopped it */
        waitpid(children->keys.process, NULL, 0);
    }
}

void children_dispose(struct children *children) {
    stop_keys(children);
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        children_close(&children->workers[i].signing_client);
        children_close(&children->workers[i].channel);
    }
    if (children->all_shared)
        munmap(children->all_shared, children_shared_size(children));
}
