/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Usage: watcher FOLDER PORT SECONDS SEED ROUNDS AT-ONCE [--old] [--session=N [--rounds=A-B] [--calls=C-D] [--shrink]]
 *
 * Runs on the test host as root. Starts the random intruder in workers of vitrine.service, of which a test build is
 * attached (worker.c): sessions of ROUNDS rounds in AT-ONCE workers at the same time, again and again. Checks after
 * each episode that the promises hold. FOLDER contains the decoys (image-tests/breach/decoys.c). Session N follows from
 * SEED and N. --session: runs only this session, or some of its rounds, or some calls of each. --shrink: finds the
 * shortest part that is sufficient. --old: restores the old filter (filter.h); the test ends when it has found
 * everything that this filter allowed.
 *
 * Prints the promises that were broken, with the session, and writes the last calls of that session to FOLDER/trace-N.
 * Ends with a line "PASS ..." or "FAIL ..." for each promise. Exit status 1 if one was broken (with --old: if one was
 * not).
 */

#include <err.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "watcher.h"

#define AT_ONCE_MAX 4
#define STUCK_AFTER 3000   /* milliseconds without a call: it waits for something that does not happen */
#define STUCK_LEFT_ALONE 8 /* one in so many of these is left for the supervisor to end */
#define AFTERWARDS 1000    /* milliseconds in which an intruder may continue after something was broken */
#define PROBES 3
#define BREAKS_MAX 5 /* reported for each promise */

static const char *const promises[PROMISE_COUNT] = {
    [PROMISE_PORT] = "the port answers, over IPv4 and IPv6",
    [PROMISE_LISTENERS] = "the listening sockets are unchanged and still listen",
    [PROMISE_FLAGS] = "flags and positions of shared open files are unchanged",
    [PROMISE_LOG] = "the supervisor's lines reach the journal",
    [PROMISE_NETWORK] = "packets are sent only on accepted connections",
    [PROMISE_WORKERS] = "other workers, the supervisor and the key process live",
    [PROMISE_FILES] = "nothing is written",
    [PROMISE_SECRETS] = "no key and no file outside of the content is read",
    [PROMISE_BOARDS] = "counters of other workers are not changed",
    [PROMISE_PROCESSES] = "no process, thread or other program appears",
    [PROMISE_BOUNDS] = "memory and time stay within their limits",
    [PROMISE_FILTER] = "each forbidden call ended its worker",
};

static const char *const escapes[ESCAPE_COUNT] = {
    [ESCAPE_CONNECTION] = "a connection from the host's own network",
    [ESCAPE_CLOSED] = "the port closed for everybody",
    [ESCAPE_BLOCKING] = "a listening socket on which all workers hang",
    [ESCAPE_MUTE] = "the whole service silenced",
};

struct session {
    uint64_t number;
    pid_t pid;               /* 0: finished */
    pid_t number_of_process; /* own_number() */
    uint64_t made, moved_at;
    bool is_done, is_gone, is_left_alone;
};

static struct {
    const char *folder;
    unsigned port;
    uint64_t seconds, seed, patience;
    uint32_t rounds;
    size_t at_once;
    bool old, shrinks;
    long only_session;
    uint32_t round_first, round_last, call_first, call_last;
} settings = {.only_session = -1, .round_last = UINT32_MAX, .call_last = UINT32_MAX};

static struct service service;
static struct session sessions[AT_ONCE_MAX];
static size_t worker_count;
static uint64_t next_session;
static unsigned breaks[PROMISE_COUNT];
static bool found[ESCAPE_COUNT];
static bool is_damaged; /* a promise was broken in this episode */

static struct { /* totals of all sessions */
    uint64_t sessions, made, kept_back, obeyed, ended_early, stuck;
    uint8_t tried[INTRUDER_NUMBERS / 8];
    uint64_t busy; /* milliseconds in which sessions ran */
} sum;

uint64_t now_milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void rest(unsigned milliseconds) {
    nanosleep(&(struct timespec){milliseconds / 1000, (long)(milliseconds % 1000) * 1000000}, NULL);
}

/* ---- traces of sessions ---- */

static void trace_path(const struct session *session, char *path, size_t size) {
    snprintf(path, size, "%s/trace-%" PRIu64, settings.folder, session->number);
}

static void write_trace(const struct session *session) {
    static struct intruder_arena arena;
    char path[4096];
    if (session->pid == 0 || !memory_read(session->pid, INTRUDER_ARENA, &arena, offsetof(struct intruder_arena, loot)))
        return;
    trace_path(session, path, sizeof path);
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    uint64_t first = arena.trace_at > INTRUDER_TRACE_MAX ? arena.trace_at - INTRUDER_TRACE_MAX : 0;
    for (uint64_t i = first; i < arena.trace_at; i++) {
        const struct intruder_call *call = &arena.trace[i % INTRUDER_TRACE_MAX];
        const uint64_t *a = call->arguments;
        fprintf(file,
                "round %u: %d(%#" PRIx64 ", %#" PRIx64 ", %#" PRIx64 ", %#" PRIx64 ", %#" PRIx64 ", %#" PRIx64 ")",
                call->round, call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (call->result == INT64_MIN)
            fprintf(file, " did not return\n");
        else
            fprintf(file, " = %" PRId64 "\n", call->result);
    }
    fclose(file);
}

void broken(enum promise promise, const char *format, ...) {
    char text[512];
    va_list rest_of;
    is_damaged = true;
    if (++breaks[promise] > BREAKS_MAX)
        return;
    va_start(rest_of, format);
    vsnprintf(text, sizeof text, format, rest_of);
    va_end(rest_of);
    printf("%s: %s: %s; seed %" PRIu64 ", session", settings.old ? "found" : "broken", promises[promise], text,
           settings.seed);
    for (size_t i = 0; i < settings.at_once; i++) {
        printf(" %" PRIu64, sessions[i].number);
        write_trace(&sessions[i]);
    }
    printf("\n");
    fflush(stdout);
}

void escaped(enum escape escape) {
    found[escape] = true;
}

static bool take_arena(struct session *session, struct intruder_arena *arena) {
    return memory_read(session->pid, INTRUDER_ARENA, arena, offsetof(struct intruder_arena, trace));
}

static void add_up(struct session *session) {
    static struct intruder_arena arena;
    if (!take_arena(session, &arena))
        return;
    sum.made += arena.made;
    sum.kept_back += arena.kept_back;
    sum.obeyed += arena.obeyed;
    for (size_t i = 0; i < sizeof sum.tried; i++)
        sum.tried[i] |= arena.tried[i];
    if (arena.unreadable)
        broken(PROMISE_FILTER, "the filter has an instruction that the intruder does not understand");
}

/* ---- an episode: sessions that run at the same time ---- */

static void list_workers(struct pids *workers) {
    struct pids all;
    service_pids(&service, &all);
    workers->count = 0;
    for (size_t i = 0; i < all.count; i++) {
        if (is_worker(all.list[i]))
            workers->list[workers->count++] = all.list[i];
    }
}

/* The PIDs with the lowest numbers are usually the oldest workers, which are replaced without a delay. */
static void sort_pids(struct pids *pids) {
    for (size_t i = 1; i < pids->count; i++) {
        for (size_t k = i; k > 0 && pids->list[k - 1] > pids->list[k]; k--) {
            pid_t kept = pids->list[k];
            pids->list[k] = pids->list[k - 1];
            pids->list[k - 1] = kept;
        }
    }
}

static bool wait_for_workers(struct pids *workers) {
    uint64_t give_up = now_milliseconds() + settings.patience;
    do {
        list_workers(workers);
        if (workers->count >= worker_count) {
            sort_pids(workers);
            return true;
        }
        look_at_network();
        rest(20);
    } while (now_milliseconds() < give_up);
    broken(PROMISE_WORKERS, "of %zu workers there are %zu, and no more come", worker_count, workers->count);
    return false;
}

static bool give_order(struct session *session, pid_t pid) {
    struct intruder_arena order = {.round_first = settings.round_first, .call_first = settings.call_first};
    const uint32_t ordered = INTRUDER_ORDERED;
    uint32_t end = settings.round_last < settings.rounds ? settings.round_last + 1 : settings.rounds;
    *session = (struct session){.number = settings.only_session >= 0 ? (uint64_t)settings.only_session : next_session++,
                                .pid = pid,
                                .number_of_process = own_number(pid),
                                .moved_at = now_milliseconds()};
    order.round_count = end - order.round_first;
    order.call_count = settings.call_last == UINT32_MAX ? UINT32_MAX : settings.call_last - order.call_first + 1;
    order.seed = settings.seed * 1000003 + session->number;
#define TELL(member)                                                                                                   \
    memory_write(pid, INTRUDER_ARENA + offsetof(struct intruder_arena, member), &order.member, sizeof order.member)
    return TELL(round_first) && TELL(round_count) && TELL(call_first) && TELL(call_count) && TELL(seed) &&
           memory_write(pid, INTRUDER_ARENA + offsetof(struct intruder_arena, state), &ordered, sizeof ordered);
#undef TELL
}

/*
 * If the session waits in a call, usually ends it. Sometimes leaves that to the supervisor; meanwhile, others must
 * tolerate it.
 */
static void look_at_stuck(struct session *session, const struct intruder_arena *arena, uint64_t now) {
    if (arena->made != session->made) {
        session->made = arena->made;
        session->moved_at = now;
    }
    if (session->is_left_alone && now - session->moved_at > settings.patience * 2) {
        broken(PROMISE_BOUNDS, "worker %d has hung for %" PRIu64 " s, and nobody has ended it", (int)session->pid,
               (now - session->moved_at) / 1000);
        kill(session->pid, SIGKILL);
    }
    if (session->is_left_alone || now - session->moved_at < STUCK_AFTER * (settings.patience / 30000))
        return;
    session->is_left_alone = sum.stuck++ % STUCK_LEFT_ALONE == STUCK_LEFT_ALONE - 1;
    if (!session->is_left_alone) {
        write_trace(session);
        add_up(session);
        kill(session->pid, SIGKILL);
    }
}

/* Returns false if the session is finished or its process is gone. */
static bool goes_on(struct session *session) {
    static struct intruder_arena arena;
    struct pids pids;
    service_pids(&service, &pids);
    if (!pids_hold(&pids, session->pid) || !take_arena(session, &arena)) {
        session->is_gone = true;
        sum.ended_early++;
        return false;
    }
    if (arena.state == INTRUDER_DONE) {
        session->is_done = true;
        return false;
    }
    look_at_stuck(session, &arena, now_milliseconds());
    return true;
}

static void look_quickly(void) {
    look_at_listeners(settings.port, false);
    look_at_descriptors(&service, false);
    look_at_processes(&service);
    look_at_network();
}

static void run_sessions(void) {
    uint64_t begun = now_milliseconds(), sound = begun;
    bool any;
    do {
        any = false;
        if (!is_damaged)
            sound = now_milliseconds();
        for (size_t i = 0; i < settings.at_once; i++)
            any |= !sessions[i].is_done && !sessions[i].is_gone && goes_on(&sessions[i]);
        look_quickly();
        rest(20);
    } while (any && now_milliseconds() - sound < AFTERWARDS);
    sum.busy += now_milliseconds() - begun;
}

static bool is_there(pid_t pid) {
    struct pids pids;
    service_pids(&service, &pids);
    return pids_hold(&pids, pid);
}

/* Releases finished sessions, which then end by a forbidden call. */
static void release(struct session *session) {
    const uint32_t released = INTRUDER_RELEASED;
    uint64_t give_up = now_milliseconds() + settings.patience;
    static struct intruder_arena arena;
    if (session->is_done) {
        add_up(session);
        write_trace(session);
        if (take_arena(session, &arena) && arena.state == INTRUDER_DONE)
            memory_write(session->pid, INTRUDER_ARENA + offsetof(struct intruder_arena, state), &released,
                         sizeof released);
    }
    while (is_there(session->pid) && now_milliseconds() < give_up) {
        if (take_arena(session, &arena) && arena.state == INTRUDER_SURVIVED) {
            broken(PROMISE_FILTER, "call %" PRId64 " was to end worker %d", arena.final_number, (int)session->pid);
            session->is_done = false;
        }
        if (!session->is_done) {
            add_up(session);
            kill(session->pid, SIGKILL);
            session->is_done = true;
        }
        rest(5);
    }
    if (is_there(session->pid))
        broken(PROMISE_FILTER, "worker %d lives after a forbidden call", (int)session->pid);
}

/* ---- breaking promises on purpose, to test that it is noticed ---- */

#define NEXT_TO_LOOT 64
#define TOO_MUCH (300u << 20)

static const enum promise noticed[] = {PROMISE_FILES,     PROMISE_SECRETS, PROMISE_BOARDS, PROMISE_WORKERS,
                                       PROMISE_PROCESSES, PROMISE_BOUNDS,  PROMISE_FILTER};
static enum promise sabotaged = PROMISE_COUNT; /* the promise to break in this episode */
static pid_t stranger;

/* Adds a process that is not the service's to its control group, with more memory than allowed. */
static void add_stranger(void) {
    char path[CONTROL_GROUP_MAX + 64];
    int ready[2];
    if (pipe(ready) < 0 || (stranger = fork()) < 0)
        return;
    if (stranger == 0) {
        if (sabotaged == PROMISE_BOUNDS)
            mmap(NULL, TOO_MUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        close(ready[1]);
        rest(600000);
        _exit(0);
    }
    close(ready[1]);
    (void)!read(ready[0], path, 1); /* it has its memory now */
    close(ready[0]);
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cgroup.procs", service.group);
    FILE *group = fopen(path, "we");
    if (group) {
        fprintf(group, "%d", (int)stranger);
        fclose(group);
    }
}

static void remove_stranger(void) {
    if (stranger > 0) {
        kill(stranger, SIGKILL);
        waitpid(stranger, NULL, 0);
    }
    stranger = 0;
    unlink("/srv/gemini/localhost/new");
}

/* other: a worker without an intruder */
static void sabotage(const struct session *session, pid_t other) {
    const uint32_t survived = INTRUDER_SURVIVED;
    static struct intruder_arena arena;
    size_t size;
    const uint8_t *secret = secret_text(0, &size);
    FILE *file;
    switch (sabotaged) {
    case PROMISE_FILES:
        if ((file = fopen("/srv/gemini/localhost/new", "we")))
            fclose(file);
        break;
    case PROMISE_SECRETS:
        memory_write(session->pid, INTRUDER_ARENA + offsetof(struct intruder_arena, loot) + NEXT_TO_LOOT, secret, size);
        break;
    case PROMISE_BOARDS:
        if (memory_read(other, INTRUDER_ARENA, &arena, offsetof(struct intruder_arena, trace)))
            memory_write(other, arena.own_shared + arena.own_shared_size - NEXT_TO_LOOT, INTRUDER_CONTENT_MARK,
                         strlen(INTRUDER_CONTENT_MARK));
        break;
    case PROMISE_WORKERS:
        kill(other, SIGKILL);
        break;
    case PROMISE_PROCESSES:
    case PROMISE_BOUNDS:
        add_stranger();
        break;
    case PROMISE_FILTER:
        memory_write(session->pid, INTRUDER_ARENA + offsetof(struct intruder_arena, state), &survived, sizeof survived);
        break;
    default:
        break;
    }
}

/* ---- checks after an episode ---- */

static bool log_tells_within(pid_t number, uint64_t milliseconds) {
    uint64_t give_up = now_milliseconds() + milliseconds;
    while (!log_tells_of(number)) {
        if (now_milliseconds() > give_up)
            return false;
        rest(10);
    }
    return true;
}

/* Do lines of the supervisor arrive? It must report workers that this kills. */
static bool log_is_heard(void) {
    struct pids workers;
    for (unsigned probe = 0; probe < PROBES; probe++) {
        list_workers(&workers);
        if (workers.count == 0)
            return true; /* another fault is the reason */
        pid_t number = own_number(workers.list[0]);
        kill(workers.list[0], SIGKILL);
        if (log_tells_within(number, settings.patience / 10))
            return true;
    }
    return false;
}

static void look_at_log(void) {
    for (size_t i = 0; i < settings.at_once; i++) {
        if (log_tells_within(sessions[i].number_of_process, settings.patience / 10) || !service_lives(&service))
            continue;
        if (log_is_heard()) {
            broken(PROMISE_LOG, "the line that tells of the end of worker %d was dropped", (int)sessions[i].pid);
        } else {
            escaped(ESCAPE_MUTE);
            broken(PROMISE_LOG, "no line says that worker %d ended, nor that others did", (int)sessions[i].pid);
        }
        return;
    }
}

static void look_at_port(void) {
    uint64_t before[2] = {visits_made(0), visits_made(1)}, give_up = now_milliseconds() + settings.patience;
    while (visits_made(0) < before[0] + 1 || visits_made(1) < before[1] + 1) {
        if (now_milliseconds() > give_up) {
            broken(PROMISE_PORT, "no visit over %s succeeds any more", visits_made(0) == before[0] ? "IPv4" : "IPv6");
            return;
        }
        rest(10);
    }
}

static void look_at_others(const struct pids *before) {
    struct service now;
    struct pids pids;
    if (!service_look(&now) || now.supervisor != service.supervisor || now.keys != service.keys) {
        broken(PROMISE_WORKERS, "the supervisor was process %d and is %d, the key process was %d and is %d",
               (int)service.supervisor, (int)now.supervisor, (int)service.keys, (int)now.keys);
        return;
    }
    service_pids(&service, &pids);
    for (size_t i = 0; i < before->count; i++) {
        bool is_intruder = false;
        for (size_t k = 0; k < settings.at_once; k++)
            is_intruder |= sessions[k].pid == before->list[i];
        if (!is_intruder && !pids_hold(&pids, before->list[i]))
            broken(PROMISE_WORKERS, "worker %d, in which no intruder was, has ended", (int)before->list[i]);
    }
}

static void keep_all(void) {
    look_at_listeners(settings.port, true);
    look_at_descriptors(&service, true);
    look_at_files(&service, settings.folder, true);
}

/* Restarts everything, so that each episode is judged by itself. */
static bool repair(void) {
    struct pids workers;
    uint64_t give_up = now_milliseconds() + settings.patience * 2;
    if (system("units=; for unit in vitrine.socket vitrine-keys.socket vitrine-keys.service vitrine.service; do "
               "! systemctl cat $unit >/dev/null 2>&1 || units=\"$units $unit\"; done; systemctl stop $units; "
               "systemctl reset-failed $units 2>/dev/null; systemctl start $units") != 0)
        return false;
    while (!service_look(&service) || (list_workers(&workers), workers.count < worker_count)) {
        if (now_milliseconds() > give_up)
            return false;
        rest(50);
    }
    look_at_network();
    keep_all();
    is_damaged = false;
    return true;
}

/* Removes traces of sessions that broke nothing. */
static void forget_traces(void) {
    char path[4096];
    for (size_t i = 0; i < settings.at_once; i++) {
        trace_path(&sessions[i], path, sizeof path);
        unlink(path);
    }
}

static bool run_episode(void) {
    struct pids workers;
    is_damaged = false;
    if (!wait_for_workers(&workers))
        return false;
    for (size_t i = 0; i < settings.at_once; i++) {
        if (!give_order(&sessions[i], workers.list[i]))
            return is_damaged = true, broken(PROMISE_WORKERS, "worker %d has gone by itself", (int)workers.list[i]),
                   false;
    }
    sum.sessions += settings.at_once;
    run_sessions();
    sabotage(&sessions[0], workers.list[workers.count - 1]);
    if (!is_damaged) {
        look_for_secrets(&service);
        for (size_t i = 0; i < settings.at_once; i++)
            look_at_shared(sessions[i].pid);
    }
    for (size_t i = 0; i < settings.at_once; i++)
        release(&sessions[i]);
    look_at_others(&workers);
    look_at_log();
    if (!is_damaged)
        look_at_port();
    look_quickly();
    look_at_files(&service, settings.folder, false);
    if (!is_damaged)
        forget_traces();
    return !is_damaged;
}

/* ---- finding the calls that broke a promise ---- */

static bool breaks_again(uint32_t round_first, uint32_t round_last, uint32_t call_first, uint32_t call_last) {
    settings.round_first = round_first;
    settings.round_last = round_last;
    settings.call_first = call_first;
    settings.call_last = call_last;
    if (run_episode())
        return false;
    if (!repair())
        errx(EX_UNAVAILABLE, "the service could not be started anew");
    return true;
}

static void print_trace(void) {
    char path[4096], line[512];
    trace_path(&sessions[0], path, sizeof path);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        fputs(line, stdout);
    if (file)
        fclose(file);
}

/* Finds the shortest range of rounds that breaks it again, then the shortest range of calls in each of them. */
static void shrink(void) {
    uint32_t first = settings.round_first,
             last = settings.round_last < settings.rounds ? settings.round_last : settings.rounds - 1;
    uint32_t low, high, call_first = 0, call_last = 128; /* more than a round has */
    if (!breaks_again(first, last, 0, UINT32_MAX)) {
        printf("session %ld breaks nothing when it is made again\n", settings.only_session);
        return;
    }
    for (low = first, high = last; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (breaks_again(first, middle, 0, UINT32_MAX))
            high = middle;
        else
            low = middle + 1;
    }
    for (last = low, low = first, high = last; low < high;) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (breaks_again(middle, last, 0, UINT32_MAX))
            low = middle;
        else
            high = middle - 1;
    }
    for (first = low, low = 0, high = call_last; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (breaks_again(first, last, 0, middle))
            high = middle;
        else
            low = middle + 1;
    }
    for (call_last = low, low = 0, high = call_last; low < high;) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (breaks_again(first, last, middle, call_last))
            low = middle;
        else
            high = middle - 1;
    }
    call_first = low;
    printf("these calls are enough (ROUNDS=%u-%u CALLS=%u-%u):\n", first, last, call_first, call_last);
    breaks_again(first, last, call_first, call_last);
    print_trace();
}

/* ---- main ---- */

static bool all_found(void) {
    for (size_t i = 0; i < ESCAPE_COUNT; i++) {
        if (!found[i])
            return false;
    }
    return true;
}

/* Runs sessions that make no calls, so that nothing else is broken. */
static int tell_noticed(void) {
    int status = 0;
    settings.rounds = 0;
    settings.at_once = 1;
    for (size_t i = 0; i < sizeof noticed / sizeof noticed[0]; i++) {
        unsigned before = breaks[noticed[i]];
        sabotaged = noticed[i];
        run_episode();
        remove_stranger();
        bool good = breaks[noticed[i]] > before;
        printf("%s noticed when this is broken on purpose: %s\n", good ? "PASS" : "FAIL", promises[noticed[i]]);
        status |= !good;
        if (!repair())
            return printf("FAIL the service could not be started anew\n"), 1;
    }
    return status;
}

static int tell_old(void) {
    for (size_t i = 0; i < ESCAPE_COUNT; i++)
        printf("%s found with the old filter: %s\n", found[i] ? "PASS" : "FAIL", escapes[i]);
    return all_found() ? tell_noticed() : 1;
}

static int tell(void) {
    int status = 0;
    for (size_t i = 0; i < PROMISE_COUNT; i++) {
        printf("%s %s\n", breaks[i] == 0 ? "PASS" : "FAIL", promises[i]);
        status |= breaks[i] > 0;
    }
    return status;
}

static void tell_sum(void) {
    unsigned numbers = 0;
    for (size_t i = 0; i < INTRUDER_NUMBERS; i++)
        numbers += (sum.tried[i / 8] >> (i % 8)) & 1;
    printf("seed %" PRIu64 ": %" PRIu64 " sessions, %" PRIu64 " calls, %" PRIu64 " a second while they ran; %" PRIu64
           " of them obeyed; %" PRIu64 " kept back; %u numbers; %" PRIu64 " sessions ended early, %" PRIu64
           " hung; %" PRIu64 " honest visits, %" PRIu64 " tried again\n",
           settings.seed, sum.sessions, sum.made, sum.busy > 0 ? sum.made * 1000 / sum.busy : 0, sum.obeyed,
           sum.kept_back, numbers, sum.ended_early, sum.stuck, visits_made(0) + visits_made(1), visits_failed());
}

static void read_arguments(int count, char **arguments) {
    if (count < 7)
        errx(EX_USAGE, "usage: watcher FOLDER PORT SECONDS SEED ROUNDS AT-ONCE [--old] [--session=N [--rounds=A-B "
                       "[--calls=C-D]]]");
    settings.folder = arguments[1];
    settings.port = (unsigned)atoi(arguments[2]);
    settings.seconds = strtoul(arguments[3], NULL, 10);
    settings.seed = strtoull(arguments[4], NULL, 10);
    settings.rounds = (uint32_t)strtoul(arguments[5], NULL, 10);
    settings.at_once = (size_t)atoi(arguments[6]);
    for (int i = 7; i < count; i++) {
        if (strcmp(arguments[i], "--old") == 0)
            settings.old = true;
        else if (strcmp(arguments[i], "--shrink") == 0)
            settings.shrinks = true;
        else if (sscanf(arguments[i], "--session=%ld", &settings.only_session) != 1 &&
                 sscanf(arguments[i], "--rounds=%u-%u", &settings.round_first, &settings.round_last) != 2 &&
                 sscanf(arguments[i], "--calls=%u-%u", &settings.call_first, &settings.call_last) != 2)
            errx(EX_USAGE, "unknown option %s", arguments[i]);
    }
    if (settings.rounds == 0 || settings.at_once == 0 || settings.at_once > AT_ONCE_MAX ||
        settings.round_first >= settings.rounds)
        errx(EX_USAGE, "ROUNDS is at least 1, AT-ONCE from 1 to %d, and a session has no rounds behind its last",
             AT_ONCE_MAX);
    if (settings.only_session >= 0)
        settings.at_once = 1;
}

/*
 * Measures how long a visit takes here, because a virtual or busy machine needs more time. Returns false if no client
 * is served at all.
 */
static bool measure(void) {
    uint64_t begun = now_milliseconds();
    while (visits_made(0) < 3 || visits_made(1) < 3) {
        if (now_milliseconds() - begun > 300000)
            return false;
        rest(10);
    }
    uint64_t each = (now_milliseconds() - begun) / (visits_made(0) + visits_made(1));
    settings.patience = each * 200 < 30000 ? 30000 : each * 200;
    return true;
}

int main(int count, char **arguments) {
    char path[4096];
    struct pids workers;
    read_arguments(count, arguments);
    snprintf(path, sizeof path, "%s/work/surroundings.secrets", settings.folder);
    if (!secrets_read(path))
        errx(EX_NOINPUT, "%s does not tell what is secret", path);
    if (!service_look(&service))
        errx(EX_UNAVAILABLE, "vitrine.service does not run");
    list_workers(&workers);
    worker_count = workers.count;
    if (worker_count <= settings.at_once)
        errx(EX_UNAVAILABLE, "there are %zu workers with an engine; is the test build attached?", worker_count);
    if (!beside_start(settings.folder, settings.port))
        return EX_OSERR;
    if (!measure())
        errx(EX_UNAVAILABLE, "no honest visit succeeds before the intruder is there");
    uint64_t end = now_milliseconds() + settings.seconds * 1000;
    keep_all();
    if (settings.shrinks && settings.only_session >= 0)
        shrink();
    else
        do {
            if (!run_episode() && !repair()) {
                printf("the service could not be started anew; this is the end\n");
                break;
            }
        } while (settings.only_session < 0 && now_milliseconds() < end && !(settings.old && all_found()));
    tell_sum();
    int status = settings.old ? tell_old() : tell();
    beside_stop();
    return status;
}
