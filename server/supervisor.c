/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "generation.h"
#include "keys.h"
#include "listen.h"
#include "log.h"
#include "manager.h"
#include "random.h"
#include "sandbox.h"
#include "worker.h"

#define WORKERS_MAX 64
#define NOBODY 65534       /* who owns nothing, on every system */
#define TICK 1000          /* milliseconds between two looks at the workers */
#define HUNG_AFTER 15000   /* milliseconds without a beat: a worker that hangs is killed and replaced */
#define START_WITHIN 20000 /* milliseconds for all workers to be ready */
#define DELAY_FIRST 50     /* milliseconds before a worker that died young is replaced; doubles each time */
#define DELAY_MAX 10000
#define YOUNG 5000

#define FAREWELL 2000 /* milliseconds in which a visitor reads the end of a reply before the connection closes */
#define GOODBYE 5000  /* milliseconds that open connections get at a stop */
#define RETIRED_MAX 64
#define TAKEOVER_WITHIN 3000 /* milliseconds */

struct employee {
    pid_t process; /* 0: none at present */
    int desk;      /* a worker's end of its channel to the key process */
    int channel;   /* the other end, kept so that a new key process finds what waits in it */
    uint64_t started, beats, beat_seen;
    uint64_t start_at; /* when a replacement may start */
    unsigned delay;
    struct worker_board *board; /* in memory that both see */
};

/* How systemd-nspawn asks an init to stop: SIGRTMIN+3 of glibc, which musl calls SIGRTMIN+2. */
#define SIGNAL_HALT 37

struct supervisor {
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
    struct generation_sources sources;
    struct generation generation;
    const char *state;
    int control;       /* to the key process */
    bool keys_apart;   /* the key process is a service of its own */
    bool not_reloaded; /* the last reload failed */
    struct employee keys;
    struct worker_board *boards; /* one for each worker and one for each that was retired */
    struct employee employees[WORKERS_MAX];
    size_t worker_count;
    struct employee retired[RETIRED_MAX]; /* of earlier generations: they finish what they have */
    uint64_t answered;                    /* by workers that are gone */
    sigset_t signals;
    uint8_t hash_key[KEYED_HASH_KEY]; /* of addresses; made anew at each start and never kept */
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
    size_t count = manager_take_sockets(sockets, MANAGER_SOCKETS_MAX);
    manager_open();
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sockets[i].name, "keys") == 0 && supervisor->control < 0) {
            supervisor->control = sockets[i].descriptor;
            supervisor->keys_apart = true;
        } else if (options->listen_count > 0) {
            close(sockets[i].descriptor);
        } else if (listen_adopt(sockets[i].descriptor, &supervisor->listeners[supervisor->listener_count])) {
            supervisor->listener_count++;
        } else {
            return EX_USAGE;
        }
    }
    if (options->listen_count > 0)
        return open_listeners(supervisor, options);
    return supervisor->listener_count > 0 ? 0 : open_listeners(supervisor, &everywhere);
}

/* ---- the key process ---- */

static void close_if_open(int *descriptor) {
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

/* In a child: whatever happens to the supervisor, it does not stay behind; the parent may have gone before prctl. */
static void follow_parent(pid_t parent, const char *role) {
    sigset_t blocked;
    prctl(PR_SET_NAME, role); /* for ps(1), top(1) and the kernel's messages */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0);
    manager_close();
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the supervisor decides */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM); /* let through where nothing is half done */
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static size_t boards_size(const struct supervisor *supervisor) {
    return (supervisor->worker_count + RETIRED_MAX) * sizeof *supervisor->boards;
}

static void keep_keys(struct supervisor *supervisor, int control, pid_t parent) {
    struct keys_options options = {.state = supervisor->state,
                                   .credentials = getenv("CREDENTIALS_DIRECTORY"),
                                   .controls = {control},
                                   .control_count = 1,
                                   .listener = -1};
    follow_parent(parent, "vitrine-keys");
    signal(SIGHUP,
           SIG_IGN); /* a reload is told by the control socket, a terminal that closes is the supervisor's affair */
    for (size_t i = 0; i < supervisor->listener_count; i++)
        close(supervisor->listeners[i].descriptor);
    capsules_close(&supervisor->generation.capsules);
    if (supervisor->boards) /* it shares no memory with workers, and would lock all of this */
        munmap(supervisor->boards, boards_size(supervisor));
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        close_if_open(&supervisor->employees[i].desk);
        if (supervisor->employees[i].channel >= 0)
            options.channels[options.channel_count++] = supervisor->employees[i].channel;
    }
    _exit(sandbox_enter(SANDBOX_KEYS, -1) == 0 ? keys_serve(&options) : EX_OSERR);
}

/* Starts the key process, where it is no service of its own. What waits in the channels is answered by the new one. */
static bool start_keys(struct supervisor *supervisor) {
    int pair[2];
    pid_t parent = getpid();
    if (supervisor->keys_apart)
        return true;
    close_if_open(&supervisor->control);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    supervisor->keys.process = fork();
    if (supervisor->keys.process == 0) {
        close(pair[0]);
        keep_keys(supervisor, pair[1], parent);
    }
    supervisor->keys.started = milliseconds();
    close(pair[1]);
    supervisor->control = pair[0];
    return supervisor->keys.process > 0;
}

/* A new channel between a worker that is about to start and the key process. */
static bool open_channel(struct supervisor *supervisor, struct employee *employee) {
    int pair[2];
    close_if_open(&employee->desk);
    close_if_open(&employee->channel);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return false;
    employee->desk = pair[0];
    employee->channel = pair[1];
    bool attached = keys_attach(supervisor->control, pair[1]);
    if (supervisor->keys_apart)
        close_if_open(&employee->channel); /* its service manager keeps it over a restart */
    return attached;
}

/* ---- folders ---- */

/* A folder that is missing is told before the key process starts, which would have to tell it from afar. */
static int check_state(const char *folder) {
    int state = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state < 0) {
        log_line(LOG_LEVEL_ERROR, "state folder %s: %s; name one with --state", folder, strerror(errno));
        return EX_NOINPUT;
    }
    close(state);
    return EX_OK;
}

/* ---- workers ---- */

static size_t cores(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (size_t)count;
}

/*
 * A worker has no business with the rights of root, where it was started by root. It keeps them only where the content
 * folder is closed to others: then its owner wants pages served that nobody else may read.
 */
static void leave_root(const struct supervisor *supervisor, pid_t parent) {
    struct stat content;
    if (geteuid() != 0)
        return;
    if (fstat(supervisor->generation.capsules.folder, &content) < 0 ||
        (content.st_mode & (S_IROTH | S_IXOTH)) != (S_IROTH | S_IXOTH)) {
        log_line(LOG_LEVEL_WARNING,
                 "content folder %s is not open to everybody, so workers have to go on as root; "
                 "chmod o+rx lets them do without",
                 supervisor->sources.content);
        return;
    }
    if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        log_line(LOG_LEVEL_WARNING, "a worker goes on as root: %s", strerror(errno));
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* another id undoes it */
    if (getppid() != parent)
        _exit(0);
}

static void work(struct supervisor *supervisor, size_t number, pid_t parent) {
    follow_parent(parent, "vitrine-worker");
    leave_root(supervisor, parent);
    close_if_open(&supervisor->control);
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        close_if_open(&supervisor->employees[i].channel);
        if (i != number)
            close_if_open(&supervisor->employees[i].desk);
    }
    struct generation *generation = &supervisor->generation;
    if (generation->settings.language[0] != '\0')
        generation->capsules.language = generation->settings.language;
    const struct worker_orders orders = {
        .listeners = supervisor->listeners,
        .listener_count = supervisor->listener_count,
        .capsules = &generation->capsules,
        .certificates = &generation->certificates,
        .settings = &generation->settings,
        .channel = supervisor->employees[number].desk,
        .fallback = generation->fallback,
        .deadlines = {.stage = {[STAGE_HANDSHAKE] = generation->settings.handshake_timeout,
                                [STAGE_REQUEST] = generation->settings.request_timeout,
                                [STAGE_REPLY] = generation->settings.reply_timeout,
                                [STAGE_FAREWELL] = FAREWELL},
                      .goodbye = GOODBYE},
        .board = supervisor->employees[number].board,
        .boards = supervisor->boards,
        .board_count = supervisor->worker_count + RETIRED_MAX,
        .connections_max =
            (generation->settings.max_connections + supervisor->worker_count - 1) / supervisor->worker_count,
        .hash_key = supervisor->hash_key,
    };
    _exit(worker_serve(&orders));
}

static void start_worker(struct supervisor *supervisor, size_t number) {
    struct employee *employee = &supervisor->employees[number];
    pid_t parent = getpid();
    employee->board->ready = 0;
    employee->board->tally.open = 0;
    if (employee->board->used) /* what was never touched takes no memory */
        memset(&employee->board->quota, 0, sizeof employee->board->quota);
    employee->board->used = true;
    if (!open_channel(supervisor, employee))
        log_line(LOG_LEVEL_ERROR, "worker %zu: no channel to the key process: %s", number, strerror(errno));
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

/* Notes the death of a worker or of the key process, and when the next one may start. */
static bool mourn(struct employee *employee, const char *who, pid_t process, int status) {
    if (employee->process != process)
        return false;
    uint64_t now = milliseconds();
    bool young = now - employee->started < YOUNG;
    employee->process = 0;
    employee->delay = !young ? 0 : employee->delay ? employee->delay * 2 : DELAY_FIRST;
    if (employee->delay > DELAY_MAX)
        employee->delay = DELAY_MAX;
    employee->start_at = now + employee->delay;
    log_line(LOG_LEVEL_WARNING, "%s (process %d) ended by %s %d; replaced", who, (int)process,
             WIFSIGNALED(status) ? "signal" : "exit status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return true;
}

/* One of an earlier generation has finished. Its board is free for another. */
static bool bury(struct supervisor *supervisor, pid_t process) {
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        struct employee *retired = &supervisor->retired[i];
        if (retired->process == process) {
            supervisor->answered += retired->board->tally.answered;
            memset(retired->board, 0, sizeof *retired->board);
            retired->process = 0;
            return true;
        }
    }
    return false;
}

/* Also reaps what is not ours: as PID 1, orphans come here. */
static void reap(struct supervisor *supervisor) {
    int status;
    pid_t process;
    while ((process = waitpid(-1, &status, WNOHANG)) > 0) {
        bool known = bury(supervisor, process) || mourn(&supervisor->keys, "key process", process, status);
        for (size_t i = 0; i < supervisor->worker_count && !known; i++)
            known = mourn(&supervisor->employees[i], "worker", process, status);
    }
}

static bool keys_are_missing(const struct supervisor *supervisor) {
    return !supervisor->keys_apart && supervisor->keys.process == 0;
}

static void look_after_keys(struct supervisor *supervisor) {
    uint64_t now = milliseconds();
    if (keys_are_missing(supervisor) && now >= supervisor->keys.start_at && !start_keys(supervisor)) {
        log_line(LOG_LEVEL_ERROR, "the key process cannot be started: %s; tried again", strerror(errno));
        supervisor->keys.process = 0;
        supervisor->keys.start_at = now + DELAY_MAX;
    }
}

static void look_after_workers(struct supervisor *supervisor) {
    uint64_t now = milliseconds();
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        struct employee *employee = &supervisor->employees[i];
        uint64_t beats = employee->board->beats;
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
        ready += supervisor->employees[i].process != 0 && supervisor->employees[i].board->ready;
    return ready;
}

/* ---- telling ---- */

/* Said until a reload succeeds, so that nobody has to look at the right moment. */
#define NOT_RELOADED "Not reloaded, everything stays as it was; the log says why. "

static void tell(const struct supervisor *supervisor, const char *first) {
    uint64_t open = 0, answered = supervisor->answered, refused = 0, displaced = 0, slowed = 0, late = 0, foreign = 0,
             failed = 0;
    char message[440];
    for (size_t i = 0; i < supervisor->worker_count + RETIRED_MAX; i++) {
        open += supervisor->boards[i].tally.open;
        answered += supervisor->boards[i].tally.answered;
        refused += supervisor->boards[i].tally.refused;
        displaced += supervisor->boards[i].tally.displaced;
        slowed += supervisor->boards[i].tally.slowed;
        late += supervisor->boards[i].tally.late;
        foreign += supervisor->boards[i].tally.foreign;
        failed += supervisor->boards[i].tally.failed;
    }
    snprintf(message, sizeof message,
             "%sSTATUS=%sServing %zu capsules with %zu workers; %" PRIu64 " requests answered, %" PRIu64
             " connections open, %" PRIu64 " refused, %" PRIu64 " displaced, %" PRIu64 " late, %" PRIu64
             " foreign, %" PRIu64 " failed, %" PRIu64 " slowed down",
             first, supervisor->not_reloaded ? NOT_RELOADED : "", supervisor->generation.capsule_count,
             workers_ready(supervisor), answered, open, refused, displaced, late, foreign, failed, slowed);
    manager_notify(message);
}

/* ---- reload ---- */

/* A place for one more retired worker: a free one, or that of the eldest, whose time is over then. */
static struct employee *retirement(struct supervisor *supervisor) {
    struct employee *eldest = &supervisor->retired[0];
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        struct employee *retired = &supervisor->retired[i];
        if (retired->process == 0)
            return retired;
        if (retired->started < eldest->started)
            eldest = retired;
    }
    kill(eldest->process, SIGKILL);
    waitpid(eldest->process, NULL, 0);
    bury(supervisor, eldest->process);
    return eldest;
}

/* The worker of this number takes no new connections from now on, and its number is free for the next generation. */
static void retire(struct supervisor *supervisor, size_t number) {
    struct employee *employee = &supervisor->employees[number];
    if (employee->process == 0)
        return;
    struct employee *retired = retirement(supervisor);
    struct worker_board *board = retired->board;
    kill(employee->process, SIGHUP);
    retired->process = employee->process;
    retired->started = employee->started;
    retired->board = employee->board;
    employee->board = board;
    employee->process = 0;
    employee->start_at = 0;
}

static bool has_taken_over(const struct supervisor *supervisor) {
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        if (supervisor->retired[i].process != 0 && supervisor->retired[i].board->ready)
            return false;
    }
    return workers_ready(supervisor) == supervisor->worker_count;
}

/* Whoever told of the reload goes on when it is over: from then on every visitor meets the new generation. */
static void wait_for_takeover(const struct supervisor *supervisor) {
    uint64_t give_up = milliseconds() + TAKEOVER_WITHIN;
    while (!has_taken_over(supervisor) && milliseconds() < give_up)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* A whole new generation takes over, or nothing changes. */
static void reload(struct supervisor *supervisor) {
    struct generation next;
    char message[128];
    /* To the microsecond: one that is earlier than its signal is no answer to it for the service manager. */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t microseconds = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, microseconds);
    manager_notify(message);
    int status = generation_open(&next, &supervisor->sources);
    if (status == EX_OK)
        status = generation_identify(&next, &supervisor->sources, supervisor->control);
    if (status != EX_OK) {
        generation_dispose(&next);
        log_line(LOG_LEVEL_ERROR, "not reloaded, everything stays as it was; the lines above say why");
        supervisor->not_reloaded = true;
        tell(supervisor, "READY=1\n");
        return;
    }
    generation_dispose(&supervisor->generation);
    supervisor->generation = next;
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        retire(supervisor, i);
        start_worker(supervisor, i);
    }
    wait_for_takeover(supervisor);
    supervisor->not_reloaded = false;
    log_line(LOG_LEVEL_NOTICE, "reloaded: serving %zu capsules", supervisor->generation.capsule_count);
    tell(supervisor, "READY=1\n");
}

/* ---- the whole ---- */

static bool is_stop(int signal) {
    return signal == SIGTERM || signal == SIGINT || signal == SIGNAL_HALT;
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

/* Returns the exit status. */
static int run(struct supervisor *supervisor) {
    unsigned watchdog = manager_watchdog_milliseconds();
    uint64_t tick = watchdog > 0 && watchdog / 3 < TICK ? watchdog / 3 : TICK;
    uint64_t next = milliseconds() + tick;
    for (;;) {
        uint64_t now = milliseconds(), wake = next;
        if (keys_are_missing(supervisor) && supervisor->keys.start_at < wake)
            wake = supervisor->keys.start_at;
        for (size_t i = 0; i < supervisor->worker_count; i++) {
            if (supervisor->employees[i].process == 0 && supervisor->employees[i].start_at < wake)
                wake = supervisor->employees[i].start_at;
        }
        int signal = wait_signal(supervisor, wake > now ? wake - now : 0);
        if (is_stop(signal))
            return EX_OK;
        if (supervisor->keys_apart && keys_are_gone(supervisor->control)) {
            log_line(LOG_LEVEL_ERROR, "the key service has closed this connection for good; started again, the service "
                                      "manager opens another (OpenFile=)");
            return EX_UNAVAILABLE;
        }
        if (signal == SIGCHLD)
            reap(supervisor);
        if (signal == SIGHUP)
            reload(supervisor);
        look_after_keys(supervisor);
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
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        if (supervisor->retired[i].process > 0)
            kill(supervisor->retired[i].process, signal);
    }
}

static bool any_worker(const struct supervisor *supervisor) {
    bool any = false;
    for (size_t i = 0; i < supervisor->worker_count; i++)
        any |= supervisor->employees[i].process > 0;
    for (size_t i = 0; i < RETIRED_MAX; i++)
        any |= supervisor->retired[i].process > 0;
    return any;
}

/* Lets the workers finish what they are at, then ends them. A second stop signal ends them at once. */
static void stop_workers(struct supervisor *supervisor) {
    uint64_t give_up = milliseconds() + GOODBYE + 1000;
    signal_workers(supervisor, SIGTERM);
    while (any_worker(supervisor)) {
        uint64_t now = milliseconds();
        int signal = now < give_up ? wait_signal(supervisor, give_up - now) : 0;
        if (signal != SIGCHLD)
            signal_workers(supervisor, SIGKILL);
        int status;
        pid_t process;
        while (any_worker(supervisor) &&
               (process = waitpid(-1, &status, now < give_up && signal == SIGCHLD ? WNOHANG : 0)) > 0) {
            bury(supervisor, process);
            for (size_t i = 0; i < supervisor->worker_count; i++) {
                if (supervisor->employees[i].process == process)
                    supervisor->employees[i].process = 0;
            }
            if (supervisor->keys.process == process)
                supervisor->keys.process = 0;
        }
    }
}

static bool prepare_workers(struct supervisor *supervisor) {
    supervisor->worker_count = cores();
    void *boards = mmap(NULL, boards_size(supervisor), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (boards == MAP_FAILED) {
        log_line(LOG_LEVEL_ERROR, "no memory for the workers: %s", strerror(errno));
        return false;
    }
    supervisor->boards = boards;
    for (size_t i = 0; i < supervisor->worker_count; i++)
        supervisor->employees[i].board = &supervisor->boards[i];
    for (size_t i = 0; i < RETIRED_MAX; i++)
        supervisor->retired[i].board = &supervisor->boards[supervisor->worker_count + i];
    return true;
}

static void has_handler(int signal) {
    (void)signal;
}

static void prepare_signals(struct supervisor *supervisor) {
    sigemptyset(&supervisor->signals);
    sigaddset(&supervisor->signals, SIGTERM);
    sigaddset(&supervisor->signals, SIGINT);
    sigaddset(&supervisor->signals, SIGCHLD);
    sigaddset(&supervisor->signals, SIGHUP);
    sigaddset(&supervisor->signals, SIGNAL_HALT);
    sigprocmask(SIG_BLOCK, &supervisor->signals, NULL);
    /* It never runs, because the signal is waited for; systemd 262 starts no service with Type=notify-reload without one. */
    signal(SIGHUP, has_handler);
    signal(SIGPIPE, SIG_IGN);
}

/* The last to go: workers need it for the handshakes that they finish. */
static void stop_keys(struct supervisor *supervisor) {
    close_if_open(&supervisor->control);
    if (supervisor->keys.process > 0) {
        kill(supervisor->keys.process, SIGTERM);
        kill(supervisor->keys.process, SIGCONT); /* also when somebody had stopped it */
        waitpid(supervisor->keys.process, NULL, 0);
    }
}

static void dispose(struct supervisor *supervisor) {
    stop_keys(supervisor);
    generation_dispose(&supervisor->generation);
    for (size_t i = 0; i < supervisor->worker_count; i++) {
        close_if_open(&supervisor->employees[i].desk);
        close_if_open(&supervisor->employees[i].channel);
    }
    for (size_t i = 0; i < supervisor->listener_count; i++)
        close(supervisor->listeners[i].descriptor);
    if (supervisor->boards)
        munmap(supervisor->boards, boards_size(supervisor));
}

int supervisor_serve(const struct serve_options *options) {
    struct supervisor supervisor = {.sources = {.settings = options->settings, .content = options->content},
                                    .generation.capsules.folder = -1,
                                    .state = options->state,
                                    .control = -1};
    int signal = 0;

    for (size_t i = 0; i < WORKERS_MAX; i++)
        supervisor.employees[i].desk = supervisor.employees[i].channel = -1;
    prepare_signals(&supervisor);
    int status = take_listeners(&supervisor, options);
    if (status == 0)
        status = generation_open(&supervisor.generation, &supervisor.sources);
    if (status == 0 && !supervisor.keys_apart)
        status = check_state(options->state);
    /* Whatever is started from here on inherits it and gives up more. */
    if (status == 0 && sandbox_enter(SANDBOX_SUPERVISOR, -1) < 0) {
        log_line(LOG_LEVEL_ERROR, "the supervisor cannot enter its sandbox: %s", strerror(errno));
        status = EX_OSERR;
    }
    /* The key process comes first: from here on no other process has a reason to come near a key. */
    if (status == 0 && (!random_open() || vitrine_random_block(supervisor.hash_key, sizeof supervisor.hash_key) != 0 ||
                        !start_keys(&supervisor))) {
        log_line(LOG_LEVEL_ERROR, "the key process cannot be started: %s", strerror(errno));
        status = EX_OSERR;
    }
    if (status == 0)
        status = generation_identify(&supervisor.generation, &supervisor.sources, supervisor.control);
    if (status == 0 && !prepare_workers(&supervisor))
        status = EX_OSERR;
    if (status == 0) {
        if (start_workers(&supervisor, &signal)) {
            log_line(LOG_LEVEL_NOTICE, "serving %zu capsules with %zu workers", supervisor.generation.capsule_count,
                     supervisor.worker_count);
            tell(&supervisor, "READY=1\n");
            status = run(&supervisor);
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
