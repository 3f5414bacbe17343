/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "children.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/systemd.h"
#include "keys/key_service.h"

#define NOBODY 65534       /* who owns nothing, on every system */
#define HUNG_AFTER 15000   /* milliseconds without a beat: a worker that hangs is killed and replaced */
#define LEAVE_WITHIN 15000 /* milliseconds for a worker of an earlier generation to take no new connections */
#define STAY_MAX 900000    /* milliseconds for it to finish what it has */
#define EXAMINATION 2000   /* milliseconds to a beat, when it is doubtful whether there will be one */
#define DELAY_FIRST 50     /* milliseconds before a worker that died young is replaced; doubles each time */
#define DELAY_MAX 10000
#define YOUNG 5000

/* Between two looks at the lines of workers; then there are several to be written at a time. Milliseconds. */
#define RELAY_PAUSE 20

#define LINGER 2000  /* milliseconds in which a client reads the end of a reply before the connection closes */
#define GOODBYE 5000 /* milliseconds that open connections get at a stop */

static void close_if_open(int *descriptor) {
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

/* ---- places ---- */

void children_begin(struct children *children) {
    *children = (struct children){.control = -1, .signals = -1};
    for (size_t i = 0; i < WORKERS_MAX; i++)
        children->workers[i].signing_client = children->workers[i].channel = children->workers[i].log.pipe = -1;
    for (size_t i = 0; i < RETIRED_MAX; i++)
        children->retired[i].log.pipe = -1;
}

static size_t boards_size(const struct children *children) {
    return children->shared_count * sizeof *children->all_shared;
}

static size_t cores(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (size_t)count;
}

/* Memory that children share, aligned as its type is: the kernel aligns it to a page, which may be smaller. */
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

bool children_make_places(struct children *children) {
    children->worker_count = cores();
    children->shared_count = children->worker_count + RETIRED_MAX;
    children->all_shared = map_shared(boards_size(children));
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

/* ---- the key process ---- */

/* In a child: what it has from the supervisor and has no use for. It does not hear what workers say. */
static void leave_behind(struct children *children) {
    close_if_open(&children->signals);
    for (size_t i = 0; i < children->worker_count; i++)
        close_if_open(&children->workers[i].log.pipe);
    for (size_t i = 0; i < RETIRED_MAX; i++)
        close_if_open(&children->retired[i].log.pipe);
}

/* In a child: whatever happens to the supervisor, it does not stay behind; the parent may have gone before prctl. */
static void follow_parent(pid_t parent, const char *role) {
    sigset_t blocked;
    prctl(PR_SET_NAME, role); /* for ps(1), top(1) and the kernel's messages */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0);
    systemd_close();
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the supervisor decides */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM); /* let through where nothing is half done */
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static void keep_keys(struct children *children, int control, pid_t parent) {
    struct key_service_options options = {.state = children->state,
                                          .credentials = getenv("CREDENTIALS_DIRECTORY"),
                                          .controls = {control},
                                          .control_count = 1,
                                          .certificates = &children->generation->certificates,
                                          .listener = -1};
    follow_parent(parent, "vitrine-keys");
    leave_behind(children);
    /* A reload is told by the control socket; a terminal that closes is the supervisor's affair. */
    signal(SIGHUP, SIG_IGN);
    for (size_t i = 0; i < children->listener_count; i++)
        close(children->listeners[i].descriptor);
    capsules_close(&children->generation->capsules);
    if (children->all_shared) /* it shares no memory with workers, and would lock all of this */
        munmap(children->all_shared, boards_size(children));
    for (size_t i = 0; i < children->worker_count; i++) {
        close_if_open(&children->workers[i].signing_client);
        if (children->workers[i].channel >= 0)
            options.channels[options.channel_count++] = children->workers[i].channel;
    }
    _exit(sandbox_enter(SANDBOX_KEYS, -1) == 0 ? key_service_serve(&options) : EX_OSERR);
}

/* Starts the key process, where it is no service of its own. What waits in the channels is answered by the new one. */
bool children_start_keys(struct children *children) {
    int pair[2];
    pid_t parent = getpid();
    if (children->keys_apart)
        return true;
    close_if_open(&children->control);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    children->keys.process = fork();
    if (children->keys.process == 0) {
        close(pair[0]);
        keep_keys(children, pair[1], parent);
    }
    children->keys.started = clock_milliseconds();
    close(pair[1]);
    children->control = pair[0];
    return children->keys.process > 0;
}

/* A new channel between a worker that is about to start and the key process. */
static bool open_channel(struct children *children, struct child *child) {
    int pair[2];
    close_if_open(&child->signing_client);
    close_if_open(&child->channel);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return false;
    child->signing_client = pair[0];
    child->channel = pair[1];
    bool attached = key_service_attach(children->control, pair[1], &children->generation->certificates);
    if (children->keys_apart)
        close_if_open(&child->channel); /* its service manager keeps it over a restart */
    return attached;
}

/* ---- workers ---- */

/*
 * A worker has no business with the rights of root, where it was started by root. It keeps them only where the content
 * folder is closed to others: then its owner wants pages served that nobody else may read.
 */
static void leave_root(const struct children *children, pid_t parent) {
    struct stat content;
    if (geteuid() != 0)
        return;
    if (fstat(children->generation->capsules.folder, &content) < 0 ||
        (content.st_mode & (S_IROTH | S_IXOTH)) != (S_IROTH | S_IXOTH)) {
        log_line(LOG_LEVEL_WARNING,
                 "content folder %s is not readable by everyone, so workers must run as root; chmod o+rx lets them "
                 "run as nobody",
                 children->content);
        return;
    }
    if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        log_line(LOG_LEVEL_WARNING, "a worker keeps running as root: %s", strerror(errno));
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* another id undoes it */
    if (getppid() != parent)
        _exit(0);
}

/* Of what all workers count it can change its own part alone; its sandbox lets it make nothing writable again. */
static bool keep_to_own_memory(const struct children *children, const struct worker_shared *shared) {
    return mprotect(children->all_shared, boards_size(children), PROT_READ) == 0 &&
           mprotect((void *)(uintptr_t)shared, sizeof *shared, PROT_READ | PROT_WRITE) == 0;
}

static void work(struct children *children, size_t number, pid_t parent, int log) {
    follow_parent(parent, "vitrine-worker");
    if (!relay_enter(log) || !keep_to_own_memory(children, children->workers[number].shared)) {
        log_line(LOG_LEVEL_ERROR, "cannot set up a worker: %s", strerror(errno));
        _exit(EX_OSERR);
    }
    leave_behind(children);
    sandbox_tell(true, &children->workers[number].shared->forbidden);
    leave_root(children, parent);
    close_if_open(&children->control);
    for (size_t i = 0; i < children->worker_count; i++) {
        close_if_open(&children->workers[i].channel);
        if (i != number)
            close_if_open(&children->workers[i].signing_client);
    }
    struct generation *generation = children->generation;
    if (generation->settings.language[0] != '\0')
        generation->capsules.language = generation->settings.language;
    const struct worker_setup setup = {
        .listeners = children->listeners,
        .listener_count = children->listener_count,
        .capsules = &generation->capsules,
        .certificates = &generation->certificates,
        .settings = &generation->settings,
        .channel = children->workers[number].signing_client,
        .fallback = generation->fallback,
        .deadlines = {.of = {[DEADLINE_WAITING] = generation->settings.handshake_timeout,
                             [DEADLINE_HANDSHAKE] = generation->settings.handshake_timeout,
                             [DEADLINE_REQUEST] = generation->settings.request_timeout,
                             [DEADLINE_RESPONSE] = generation->settings.reply_timeout,
                             [DEADLINE_LINGER] = LINGER},
                      .shutdown_grace = GOODBYE},
        .shared = children->workers[number].shared,
        .all_shared = children->all_shared,
        .shared_count = children->shared_count,
        .connections_max = generation->settings.max_connections,
        .hash_key = children->hash_key,
    };
    _exit(worker_serve(&setup));
}

static void start_worker(struct children *children, size_t number) {
    struct child *child = &children->workers[number];
    pid_t parent = getpid();
    child->shared->ready = 0;
    child->shared->forbidden = -1;
    child->shared->room = 0;
    child->shared->counters.open = 0;
    if (child->shared->used) /* what was never touched takes no memory */
        quota_forget_connections(&child->shared->quota);
    child->shared->used = true;
    int log = relay_open(&child->log);
    if (!open_channel(children, child))
        log_line(LOG_LEVEL_ERROR, "worker %zu: no channel to the key process: %s", number, strerror(errno));
    child->process = log < 0 ? -1 : fork();
    if (child->process == 0)
        work(children, number, parent, log);
    if (log >= 0)
        close(log);
    child->started = child->beat_seen = clock_milliseconds();
    if (child->process < 0) {
        log_line(LOG_LEVEL_ERROR, "worker %zu: cannot start a process: %s; trying again", number, strerror(errno));
        child->process = 0;
        child->start_at = child->started + DELAY_MAX;
    }
}

/* What the supervisor saw itself. A worker that was ended by its sandbox may have been taken over by somebody. */
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

/* Notes the death of a worker or of the key process, and when the next one may start. */
static bool record_exit(struct child *child, const char *who, pid_t process, int status) {
    if (child->process != process)
        return false;
    uint64_t now = clock_milliseconds();
    bool young = now - child->started < YOUNG;
    child->process = 0;
    if (child->shared) { /* its connections have ended with it */
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

/* well: its worker ended as it should, so that the rates it counted are true, and go on to hold. */
static void clear_shared(struct worker_shared *shared, bool well) {
    memset(shared, 0, well ? offsetof(struct worker_shared, quota) : sizeof *shared);
    shared->used = well;
    if (well)
        quota_forget_connections(&shared->quota);
}

/* One of an earlier generation has finished. Its shared memory is free for another. */
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

/* ---- looking after them ---- */

static bool keys_are_missing(const struct children *children) {
    return !children->keys_apart && children->keys.process == 0;
}

static void look_after_keys(struct children *children) {
    uint64_t now = clock_milliseconds();
    if (keys_are_missing(children) && now >= children->keys.start_at && !children_start_keys(children)) {
        log_line(LOG_LEVEL_ERROR, "cannot start the key process: %s; trying again", strerror(errno));
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
                start_worker(children, i);
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

/* Whoever has been told to go takes no new connections soon, and is through with the old ones some time. */
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

/* ---- waiting ---- */

struct watched {
    struct pollfd list[1 + WORKERS_MAX + RETIRED_MAX];
    struct child *workers[1 + WORKERS_MAX + RETIRED_MAX];
    size_t count;
};

static void watch(struct watched *watched, struct child *child) {
    if (child->log.pipe < 0)
        return;
    watched->workers[watched->count] = child;
    watched->list[watched->count++] = (struct pollfd){child->log.pipe, POLLIN, 0};
}

/* Signals, and when it is time for them the lines of workers. */
static void watch_all(struct children *children, struct watched *watched, bool relays) {
    watched->list[0] = (struct pollfd){children->signals, POLLIN, 0};
    watched->count = 1;
    for (size_t i = 0; relays && i < children->worker_count; i++)
        watch(watched, &children->workers[i]);
    for (size_t i = 0; relays && i < RETIRED_MAX; i++)
        watch(watched, &children->retired[i]);
}

/* Never waits for who reads the log: as long as that one takes nothing, lines stay in the pipes. */
static void relay_all(struct children *children, const struct watched *watched, uint64_t now) {
    for (size_t i = 1; i < watched->count; i++) {
        struct child *child = watched->workers[i];
        if (watched->list[i].revents == 0)
            continue;
        children->relays_at = now + RELAY_PAUSE;
        if (relay_has_room() && !relay_lines(&child->log, child->process, now))
            relay_close(&child->log, child->process, now); /* its end; the worker goes on without, or has gone */
    }
}

static int take_signal(const struct children *children) {
    struct signalfd_siginfo signal;
    return read(children->signals, &signal, sizeof signal) == (ssize_t)sizeof signal ? (int)signal.ssi_signo : 0;
}

int children_wait(struct children *children, uint64_t milliseconds) {
    static struct watched watched;
    uint64_t now = clock_milliseconds(), until = now + milliseconds;
    do {
        bool relays = now >= children->relays_at;
        uint64_t next = relays || until < children->relays_at ? until : children->relays_at;
        struct timespec timeout = {(time_t)((next - now) / 1000), (long)((next - now) % 1000) * 1000000};
        watch_all(children, &watched, relays);
        if (ppoll(watched.list, watched.count, &timeout, NULL) > 0) {
            int signal = watched.list[0].revents ? take_signal(children) : 0;
            if (signal != 0)
                return signal;
            relay_all(children, &watched, now);
        }
        now = clock_milliseconds();
    } while (now < until);
    return 0;
}

/* ---- generations ---- */

/* A place for one more retired worker: a free one, or that of the eldest, whose time is over then. */
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

/* The worker of this number takes no new connections from now on, and its number is free for the next generation. */
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
        start_worker(children, i);
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
    stop_within(children, GOODBYE + 1000);
}

void children_end_workers(struct children *children) {
    stop_within(children, 0);
}

/* The last to go: workers need it for the handshakes that they finish. */
static void stop_keys(struct children *children) {
    close_if_open(&children->control);
    if (children->keys.process > 0) {
        kill(children->keys.process, SIGTERM);
        kill(children->keys.process, SIGCONT); /* also when somebody had stopped it */
        waitpid(children->keys.process, NULL, 0);
    }
}

void children_dispose(struct children *children) {
    stop_keys(children);
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        close_if_open(&children->workers[i].signing_client);
        close_if_open(&children->workers[i].channel);
    }
    if (children->all_shared)
        munmap(children->all_shared, boards_size(children));
}
