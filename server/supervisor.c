/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "capsule.h"
#include "identity.h"
#include "listen.h"
#include "log.h"
#include "manager.h"
#include "random.h"
#include "worker.h"

#define WORKERS_MAX 64
#define TICK 1000          /* milliseconds between two looks at the workers */
#define HUNG_AFTER 15000   /* milliseconds without a beat: a worker that hangs is killed and replaced */
#define START_WITHIN 20000 /* milliseconds for all workers to be ready */
#define DELAY_FIRST 50     /* milliseconds before a worker that died young is replaced; doubles each time */
#define DELAY_MAX 10000
#define YOUNG 5000

/* Seconds are plenty for a page over a slow line; whoever needs longer comes again. */
static const struct deadlines deadlines = {
    .stage = {[STAGE_HANDSHAKE] = 10000, [STAGE_REQUEST] = 10000, [STAGE_REPLY] = 20000, [STAGE_FAREWELL] = 2000},
    .goodbye = 5000,
};

struct employee {
    pid_t process; /* 0: none at present */
    uint64_t started, beats, beat_seen;
    uint64_t start_at; /* when a replacement may start */
    unsigned delay;
};

struct supervisor {
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
    struct capsules capsules;
    struct identities identities;
    const char *fallback;
    size_t capsule_count;
    int state;
    struct worker_board *boards; /* one for each worker, in memory that they share with the supervisor */
    struct employee employees[WORKERS_MAX];
    size_t worker_count;
    sigset_t signals;
};

static uint64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- sockets ---- */

static int open_listeners(struct supervisor *supervisor, const struct serve_options *options) {
    bool any_four = false;
    for (size_t i = 0; i < options->listen_count; i++)
        any_four |= listen_is_four(options->listen[i]);
    for (size_t i = 0; i < options->listen_count; i++) {
        int status = listen_open(options->listen[i], any_four, &supervisor->listeners[supervisor->listener_count]);
        if (status != 0)
            return status;
        supervisor->listener_count++;
    }
    return 0;
}

static int take_listeners(struct supervisor *supervisor, const struct serve_options *options) {
    static const struct serve_options everywhere = {.listen = {"[::]:1965"}, .listen_count = 1};
    struct manager_socket sockets[MANAGER_SOCKETS_MAX];
    size_t count = manager_take_sockets(sockets);
    manager_open();
    if (options->listen_count > 0)
        return open_listeners(supervisor, options);
    for (size_t i = 0; i < count; i++) {
        if (!listen_adopt(sockets[i].descriptor, &supervisor->listeners[supervisor->listener_count]))
            return EX_USAGE;
        supervisor->listener_count++;
    }
    return count > 0 ? 0 : open_listeners(supervisor, &everywhere);
}

/* ---- capsules and identities ---- */

static void provide_identity(const char *host, void *context) {
    struct supervisor *supervisor = context;
    supervisor->capsule_count++;
    identities_provide(&supervisor->identities, supervisor->state, host);
}

/* Clients without a server name get the identity of `default`, else of `localhost`, else the first. */
static const char *choose_fallback(const struct identities *identities) {
    const struct identity *fallback = identities_find(identities, "default");
    if (!fallback)
        fallback = identities_find(identities, "localhost");
    return fallback ? fallback->host : identities->list[0].host;
}

static int open_folders(struct supervisor *supervisor, const struct serve_options *options) {
    int result = capsules_open(&supervisor->capsules, options->content);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "content folder %s: %s; name one with --content", options->content,
                 strerror(-result));
        return EX_NOINPUT;
    }
    supervisor->state = open(options->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (supervisor->state < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name one with --state", options->state, strerror(errno));
        return EX_NOINPUT;
    }
    result = capsules_each_host(&supervisor->capsules, provide_identity, supervisor);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "content folder %s: %s", options->content, strerror(-result));
        return EX_NOINPUT;
    }
    if (result == 0) {
        log_line(LOG_LEVEL_ERROR,
                 "content folder %s holds no capsule; make a folder in it that is named like your host",
                 options->content);
        return EX_NOINPUT;
    }
    if (supervisor->identities.count == 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: no capsule has an identity that can be used", options->state);
        return EX_CANTCREAT;
    }
    supervisor->fallback = choose_fallback(&supervisor->identities);
    return 0;
}

/* ---- workers ---- */

static size_t cores(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (size_t)count;
}

static void work(struct supervisor *supervisor, size_t number, pid_t parent) {
    /* Whatever happens to the supervisor, no worker stays behind; it may have gone before prctl. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0);
    manager_close();
    close(supervisor->state);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the supervisor decides */
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    const struct worker_orders orders = {
        .listeners = supervisor->listeners,
        .listener_count = supervisor->listener_count,
        .capsules = &supervisor->capsules,
        .identities = &supervisor->identities,
        .fallback = supervisor->fallback,
        .deadlines = deadlines,
        .board = &supervisor->boards[number],
    };
    _exit(worker_serve(&orders));
}

static void start_worker(struct supervisor *supervisor, size_t number) {
    struct employee *employee = &supervisor->employees[number];
    pid_t parent = getpid();
    supervisor->boards[number].ready = 0;
    supervisor->boards[number].tally.open = 0;
    employee->process = fork();
    if (employee->process == 0)
        work(supervisor, number, parent);
    employee->started = employee->beat_seen = milliseconds();
    if (employee->process < 0) {
        log_line(LOG_LEVEL_ERROR, "worker %zu: no process for it: %s; tried again", number, strerror(errno));
        employee->process = 0;
        employee->start_at = employee->started + DELAY_MAX;
    }
}

static void mourn(struct supervisor *supervisor, pid_t process, int status) {
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        struct employee *employee = &supervisor->employees[i];
        if (employee->process != process)
            continue;
        uint64_t now = milliseconds();
        bool young = now - employee->started < YOUNG;
        employee->process = 0;
        employee->delay = !young ? 0 : employee->delay ? employee->delay * 2 : DELAY_FIRST;
        if (employee->delay > DELAY_MAX)
            employee->delay = DELAY_MAX;
        employee->start_at = now + employee->delay;
        log_line(LOG_LEVEL_WARNING, "worker %zu (process %d) ended by %s %d; replaced", i, (int)process,
                 WIFSIGNALED(status) ? "signal" : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return;
    }
}

/* Also reaps what is not ours: as PID 1, orphans come here. */
static void reap(struct supervisor *supervisor) {
    int status;
    pid_t process;
    while ((process = waitpid(-1, &status, WNOHANG)) > 0)
        mourn(supervisor, process, status);
}

static void look_after_workers(struct supervisor *supervisor) {
    uint64_t now = milliseconds();
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        struct employee *employee = &supervisor->employees[i];
        uint64_t beats = supervisor->boards[i].beats;
        if (employee->process == 0) {
            if (now >= employee->start_at)
                start_worker(supervisor, i);
        } else if (beats != employee->beats) {
            employee->beats = beats;
            employee->beat_seen = now;
        } else if (now - employee->beat_seen > HUNG_AFTER) {
            log_line(LOG_LEVEL_ERROR, "worker %zu (process %d) hangs; ended", i, (int)employee->process);
            kill(employee->process, SIGKILL);
            employee->beat_seen = now;
        }
    }
}

static size_t workers_ready(const struct supervisor *supervisor) {
    size_t ready = 0;
    for (size_t i = 0; i < supervisor->worker_count; i++)
        ready += supervisor->employees[i].process != 0 && supervisor->boards[i].ready;
    return ready;
}

/* ---- telling ---- */

static void tell(const struct supervisor *supervisor, const char *first) {
    uint64_t open = 0, answered = 0;
    char message[256];
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        open += supervisor->boards[i].tally.open;
        answered += supervisor->boards[i].tally.answered;
    }
    snprintf(message, sizeof message,
             "%sSTATUS=Serving %zu capsules with %zu workers; %" PRIu64 " requests answered, %" PRIu64
             " connections open",
             first, supervisor->capsule_count, workers_ready(supervisor), answered, open);
    manager_notify(message);
}

/* ---- the whole ---- */

static bool is_stop(int signal) {
    return signal == SIGTERM || signal == SIGINT || signal == SIGRTMIN + 3;
}

/* Waits for a signal, at most so many milliseconds; 0: none came. */
static int wait_signal(const struct supervisor *supervisor, uint64_t wait) {
    struct timespec timeout = {(time_t)(wait / 1000), (long)(wait % 1000) * 1000000};
    int signal = sigtimedwait(&supervisor->signals, NULL, &timeout);
    return signal < 0 ? 0 : signal;
}

/* Starts all workers and waits until each is ready. Returns false when one is not, or a stop signal came. */
static bool start_workers(struct supervisor *supervisor, int *signal) {
    uint64_t give_up = milliseconds() + START_WITHIN;
    for (size_t i = 0; i < supervisor->worker_count; i++)
        start_worker(supervisor, i);
    while (workers_ready(supervisor) < supervisor->worker_count) {
        *signal = wait_signal(supervisor, 2);
        if (is_stop(*signal))
            return false;
        if (*signal == SIGCHLD) { /* a worker that cannot even start says why, and another would not do better */
            reap(supervisor);
            return false;
        }
        if (milliseconds() > give_up) {
            log_line(LOG_LEVEL_ERROR, "the workers are not ready within %d seconds", START_WITHIN / 1000);
            return false;
        }
    }
    return true;
}

static void run(struct supervisor *supervisor) {
    unsigned watchdog = manager_watchdog_milliseconds();
    uint64_t tick = watchdog > 0 && watchdog / 3 < TICK ? watchdog / 3 : TICK;
    uint64_t next = milliseconds() + tick;
    for (;;) {
        uint64_t now = milliseconds(), wake = next;
        for (size_t i = 0; i < supervisor->worker_count; i++) {
            if (supervisor->employees[i].process == 0 && supervisor->employees[i].start_at < wake)
                wake = supervisor->employees[i].start_at;
        }
        int signal = wait_signal(supervisor, wake > now ? wake - now : 0);
        if (is_stop(signal))
            return;
        if (signal == SIGCHLD)
            reap(supervisor);
        look_after_workers(supervisor);
        if (milliseconds() >= next) {
            tell(supervisor, watchdog > 0 ? "WATCHDOG=1\n" : "");
            next = milliseconds() + tick;
        }
    }
}

static void signal_workers(const struct supervisor *supervisor, int signal) {
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        if (supervisor->employees[i].process > 0)
            kill(supervisor->employees[i].process, signal);
    }
}

static bool any_worker(const struct supervisor *supervisor) {
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        if (supervisor->employees[i].process > 0)
            return true;
    }
    return false;
}

/* Lets the workers finish what they are at, then ends them. A second stop signal ends them at once. */
static void stop_workers(struct supervisor *supervisor) {
    uint64_t give_up = milliseconds() + deadlines.goodbye + 1000;
    signal_workers(supervisor, SIGTERM);
    while (any_worker(supervisor)) {
        uint64_t now = milliseconds();
        int signal = now < give_up ? wait_signal(supervisor, give_up - now) : 0;
        if (signal != SIGCHLD)
            signal_workers(supervisor, SIGKILL);
        int status;
        pid_t process;
        while ((process = waitpid(-1, &status, now < give_up && signal == SIGCHLD ? WNOHANG : 0)) > 0) {
            for (size_t i = 0; i < supervisor->worker_count; i++) {
                if (supervisor->employees[i].process == process)
                    supervisor->employees[i].process = 0;
            }
        }
    }
}

static bool prepare_workers(struct supervisor *supervisor) {
    supervisor->worker_count = cores();
    size_t size = supervisor->worker_count * sizeof *supervisor->boards;
    void *boards = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (boards != MAP_FAILED)
        supervisor->boards = boards;
    if (boards == MAP_FAILED || !random_open()) {
        log_line(LOG_LEVEL_ERROR, "no memory for the workers: %s", strerror(errno));
        return false;
    }
    return true;
}

static void prepare_signals(struct supervisor *supervisor) {
    sigemptyset(&supervisor->signals);
    sigaddset(&supervisor->signals, SIGTERM);
    sigaddset(&supervisor->signals, SIGINT);
    sigaddset(&supervisor->signals, SIGCHLD);
    sigaddset(&supervisor->signals, SIGRTMIN + 3); /* how systemd-nspawn asks an init to stop */
    sigprocmask(SIG_BLOCK, &supervisor->signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void dispose(struct supervisor *supervisor) {
    identities_dispose(&supervisor->identities);
    for (size_t i = 0; i < supervisor->listener_count; i++)
        close(supervisor->listeners[i].descriptor);
    if (supervisor->state >= 0)
        close(supervisor->state);
    if (supervisor->capsules.folder >= 0)
        capsules_close(&supervisor->capsules);
    if (supervisor->boards)
        munmap(supervisor->boards, supervisor->worker_count * sizeof *supervisor->boards);
}

int supervisor_serve(const struct serve_options *options) {
    struct supervisor supervisor = {.state = -1, .capsules.folder = -1};
    int signal = 0;

    prepare_signals(&supervisor);
    int status = take_listeners(&supervisor, options);
    if (status == 0)
        status = open_folders(&supervisor, options);
    if (status == 0 && !prepare_workers(&supervisor))
        status = EX_OSERR;
    if (status == 0) {
        if (start_workers(&supervisor, &signal)) {
            log_line(LOG_LEVEL_NOTICE, "serving %zu capsules with %zu workers", supervisor.capsule_count,
                     supervisor.worker_count);
            tell(&supervisor, "READY=1\n");
            run(&supervisor);
        } else if (!is_stop(signal)) {
            status = EX_OSERR;
        }
        manager_notify("STOPPING=1\nSTATUS=Finishing open connections");
        stop_workers(&supervisor);
        if (status == 0)
            log_line(LOG_LEVEL_NOTICE, "stopped");
    }
    dispose(&supervisor);
    return status;
}
