/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "staff.h"

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
#include "common/manager.h"
#include "common/sandbox.h"
#include "keys/keys.h"

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

#define FAREWELL 2000 /* milliseconds in which a visitor reads the end of a reply before the connection closes */
#define GOODBYE 5000  /* milliseconds that open connections get at a stop */

static void close_if_open(int *descriptor) {
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

/* ---- places ---- */

void staff_begin(struct staff *staff) {
    *staff = (struct staff){.control = -1, .signals = -1};
    for (size_t i = 0; i < WORKERS_MAX; i++)
        staff->employees[i].desk = staff->employees[i].channel = staff->employees[i].log.pipe = -1;
    for (size_t i = 0; i < RETIRED_MAX; i++)
        staff->retired[i].log.pipe = -1;
}

static size_t boards_size(const struct staff *staff) {
    return staff->board_count * sizeof *staff->boards;
}

static size_t cores(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (size_t)count;
}

bool staff_make_places(struct staff *staff) {
    staff->worker_count = cores();
    staff->board_count = staff->worker_count + RETIRED_MAX;
    void *boards = mmap(NULL, boards_size(staff), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (boards == MAP_FAILED) {
        log_line(LOG_LEVEL_ERROR, "no memory for workers: %s", strerror(errno));
        return false;
    }
    staff->boards = boards;
    for (size_t i = 0; i < staff->worker_count; i++)
        staff->employees[i].board = &staff->boards[i];
    for (size_t i = 0; i < RETIRED_MAX; i++)
        staff->retired[i].board = &staff->boards[staff->worker_count + i];
    return true;
}

/* ---- the key process ---- */

/* In a child: what it has from the supervisor and has no use for. It does not hear what workers say. */
static void leave_behind(struct staff *staff) {
    close_if_open(&staff->signals);
    for (size_t i = 0; i < staff->worker_count; i++)
        close_if_open(&staff->employees[i].log.pipe);
    for (size_t i = 0; i < RETIRED_MAX; i++)
        close_if_open(&staff->retired[i].log.pipe);
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

static void keep_keys(struct staff *staff, int control, pid_t parent) {
    struct keys_options options = {.state = staff->state,
                                   .credentials = getenv("CREDENTIALS_DIRECTORY"),
                                   .controls = {control},
                                   .control_count = 1,
                                   .certificates = &staff->generation->certificates,
                                   .listener = -1};
    follow_parent(parent, "vitrine-keys");
    leave_behind(staff);
    /* A reload is told by the control socket; a terminal that closes is the supervisor's affair. */
    signal(SIGHUP, SIG_IGN);
    for (size_t i = 0; i < staff->listener_count; i++)
        close(staff->listeners[i].descriptor);
    capsules_close(&staff->generation->capsules);
    if (staff->boards) /* it shares no memory with workers, and would lock all of this */
        munmap(staff->boards, boards_size(staff));
    for (size_t i = 0; i < staff->worker_count; i++) {
        close_if_open(&staff->employees[i].desk);
        if (staff->employees[i].channel >= 0)
            options.channels[options.channel_count++] = staff->employees[i].channel;
    }
    _exit(sandbox_enter(SANDBOX_KEYS, -1) == 0 ? keys_serve(&options) : EX_OSERR);
}

/* Starts the key process, where it is no service of its own. What waits in the channels is answered by the new one. */
bool staff_start_keys(struct staff *staff) {
    int pair[2];
    pid_t parent = getpid();
    if (staff->keys_apart)
        return true;
    close_if_open(&staff->control);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    staff->keys.process = fork();
    if (staff->keys.process == 0) {
        close(pair[0]);
        keep_keys(staff, pair[1], parent);
    }
    staff->keys.started = clock_milliseconds();
    close(pair[1]);
    staff->control = pair[0];
    return staff->keys.process > 0;
}

/* A new channel between a worker that is about to start and the key process. */
static bool open_channel(struct staff *staff, struct employee *employee) {
    int pair[2];
    close_if_open(&employee->desk);
    close_if_open(&employee->channel);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return false;
    employee->desk = pair[0];
    employee->channel = pair[1];
    bool attached = keys_attach(staff->control, pair[1], &staff->generation->certificates);
    if (staff->keys_apart)
        close_if_open(&employee->channel); /* its service manager keeps it over a restart */
    return attached;
}

/* ---- workers ---- */

/*
 * A worker has no business with the rights of root, where it was started by root. It keeps them only where the content
 * folder is closed to others: then its owner wants pages served that nobody else may read.
 */
static void leave_root(const struct staff *staff, pid_t parent) {
    struct stat content;
    if (geteuid() != 0)
        return;
    if (fstat(staff->generation->capsules.folder, &content) < 0 ||
        (content.st_mode & (S_IROTH | S_IXOTH)) != (S_IROTH | S_IXOTH)) {
        log_line(LOG_LEVEL_WARNING,
                 "content folder %s is not readable by everyone, so workers must run as root; chmod o+rx lets them "
                 "run as nobody",
                 staff->content);
        return;
    }
    if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        log_line(LOG_LEVEL_WARNING, "a worker keeps running as root: %s", strerror(errno));
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* another id undoes it */
    if (getppid() != parent)
        _exit(0);
}

/* Of what all workers count it can change its own part alone; its sandbox lets it make nothing writable again. */
static bool keep_to_own_board(const struct staff *staff, const struct worker_board *board) {
    return mprotect(staff->boards, boards_size(staff), PROT_READ) == 0 &&
           mprotect((void *)(uintptr_t)board, sizeof *board, PROT_READ | PROT_WRITE) == 0;
}

static void work(struct staff *staff, size_t number, pid_t parent, int log) {
    follow_parent(parent, "vitrine-worker");
    if (!relay_enter(log) || !keep_to_own_board(staff, staff->employees[number].board)) {
        log_line(LOG_LEVEL_ERROR, "cannot set up a worker: %s", strerror(errno));
        _exit(EX_OSERR);
    }
    leave_behind(staff);
    sandbox_tell(true, &staff->employees[number].board->forbidden);
    leave_root(staff, parent);
    close_if_open(&staff->control);
    for (size_t i = 0; i < staff->worker_count; i++) {
        close_if_open(&staff->employees[i].channel);
        if (i != number)
            close_if_open(&staff->employees[i].desk);
    }
    struct generation *generation = staff->generation;
    if (generation->settings.language[0] != '\0')
        generation->capsules.language = generation->settings.language;
    const struct worker_orders orders = {
        .listeners = staff->listeners,
        .listener_count = staff->listener_count,
        .capsules = &generation->capsules,
        .certificates = &generation->certificates,
        .settings = &generation->settings,
        .channel = staff->employees[number].desk,
        .fallback = generation->fallback,
        .deadlines = {.stage = {[STAGE_WAITING] = generation->settings.handshake_timeout,
                                [STAGE_HANDSHAKE] = generation->settings.handshake_timeout,
                                [STAGE_REQUEST] = generation->settings.request_timeout,
                                [STAGE_REPLY] = generation->settings.reply_timeout,
                                [STAGE_FAREWELL] = FAREWELL},
                      .goodbye = GOODBYE},
        .board = staff->employees[number].board,
        .boards = staff->boards,
        .board_count = staff->board_count,
        .connections_max = generation->settings.max_connections,
        .hash_key = staff->hash_key,
    };
    _exit(worker_serve(&orders));
}

static void start_worker(struct staff *staff, size_t number) {
    struct employee *employee = &staff->employees[number];
    pid_t parent = getpid();
    employee->board->ready = 0;
    employee->board->forbidden = -1;
    employee->board->room = 0;
    employee->board->tally.open = 0;
    if (employee->board->used) /* what was never touched takes no memory */
        quota_forget_connections(&employee->board->quota);
    employee->board->used = true;
    int log = relay_open(&employee->log);
    if (!open_channel(staff, employee))
        log_line(LOG_LEVEL_ERROR, "worker %zu: no channel to the key process: %s", number, strerror(errno));
    employee->process = log < 0 ? -1 : fork();
    if (employee->process == 0)
        work(staff, number, parent, log);
    if (log >= 0)
        close(log);
    employee->started = employee->beat_seen = clock_milliseconds();
    if (employee->process < 0) {
        log_line(LOG_LEVEL_ERROR, "worker %zu: cannot start a process: %s; trying again", number, strerror(errno));
        employee->process = 0;
        employee->start_at = employee->started + DELAY_MAX;
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
static bool mourn(struct employee *employee, const char *who, pid_t process, int status) {
    if (employee->process != process)
        return false;
    uint64_t now = clock_milliseconds();
    bool young = now - employee->started < YOUNG;
    employee->process = 0;
    if (employee->board) { /* its connections have ended with it */
        employee->board->room = 0;
        memset(&employee->board->quota, 0, sizeof employee->board->quota);
    }
    employee->delay = !young ? 0 : employee->delay ? employee->delay * 2 : DELAY_FIRST;
    if (employee->delay > DELAY_MAX)
        employee->delay = DELAY_MAX;
    employee->start_at = now + employee->delay;
    if (employee->board)
        relay_close(&employee->log, process, now);
    tell_of_the_end(who, process, status, employee->board ? employee->board->forbidden : -1);
    return true;
}

/* well: its worker ended as it should, so that the rates it counted are true, and go on to hold. */
static void clear_board(struct worker_board *board, bool well) {
    memset(board, 0, well ? offsetof(struct worker_board, quota) : sizeof *board);
    board->used = well;
    if (well)
        quota_forget_connections(&board->quota);
}

/* One of an earlier generation has finished. Its board is free for another. */
static bool bury(struct staff *staff, pid_t process, int status) {
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        struct employee *retired = &staff->retired[i];
        if (retired->process == process) {
            relay_close(&retired->log, process, clock_milliseconds());
            bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
            if (!well)
                tell_of_the_end("worker of an earlier generation", process, status, retired->board->forbidden);
            staff->answered += retired->board->tally.answered;
            clear_board(retired->board, well);
            retired->process = 0;
            return true;
        }
    }
    return false;
}

void staff_reap(struct staff *staff) {
    int status;
    pid_t process;
    while ((process = waitpid(-1, &status, WNOHANG)) > 0) {
        bool known = bury(staff, process, status) || mourn(&staff->keys, "key process", process, status);
        for (size_t i = 0; i < staff->worker_count && !known; i++)
            known = mourn(&staff->employees[i], "worker", process, status);
    }
}

/* ---- looking after them ---- */

static bool keys_are_missing(const struct staff *staff) {
    return !staff->keys_apart && staff->keys.process == 0;
}

static void look_after_keys(struct staff *staff) {
    uint64_t now = clock_milliseconds();
    if (keys_are_missing(staff) && now >= staff->keys.start_at && !staff_start_keys(staff)) {
        log_line(LOG_LEVEL_ERROR, "cannot start the key process: %s; trying again", strerror(errno));
        staff->keys.process = 0;
        staff->keys.start_at = now + DELAY_MAX;
    }
}

static void look_after_workers(struct staff *staff) {
    uint64_t now = clock_milliseconds();
    for (size_t i = 0; i < staff->worker_count; i++) {
        struct employee *employee = &staff->employees[i];
        uint64_t beats = employee->board->beats;
        if (employee->process == 0) {
            if (now >= employee->start_at)
                start_worker(staff, i);
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

/* Whoever has been told to go takes no new connections soon, and is through with the old ones some time. */
static void look_after_retired(struct staff *staff) {
    uint64_t now = clock_milliseconds();
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        const struct employee *retired = &staff->retired[i];
        bool listens = retired->process > 0 && retired->board->ready && now - retired->retired > LEAVE_WITHIN;
        if (listens || (retired->process > 0 && now - retired->retired > STAY_MAX)) {
            log_line(LOG_LEVEL_WARNING, "worker of an earlier generation (process %d) %s; killed",
                     (int)retired->process, listens ? "did not release the port" : "did not finish within 15 minutes");
            kill(retired->process, SIGKILL);
        }
    }
}

void staff_look_after(struct staff *staff) {
    look_after_keys(staff);
    look_after_workers(staff);
    look_after_retired(staff);
}

void staff_examine(struct staff *staff) {
    uint64_t now = clock_milliseconds();
    for (size_t i = 0; i < staff->worker_count; i++)
        staff->employees[i].beat_seen = now - HUNG_AFTER + EXAMINATION;
}

uint64_t staff_wake(const struct staff *staff, uint64_t latest) {
    uint64_t wake = latest;
    if (keys_are_missing(staff) && staff->keys.start_at < wake)
        wake = staff->keys.start_at;
    for (size_t i = 0; i < staff->worker_count; i++) {
        if (staff->employees[i].process == 0 && staff->employees[i].start_at < wake)
            wake = staff->employees[i].start_at;
    }
    return wake;
}

/* ---- waiting ---- */

struct watched {
    struct pollfd list[1 + WORKERS_MAX + RETIRED_MAX];
    struct employee *employees[1 + WORKERS_MAX + RETIRED_MAX];
    size_t count;
};

static void watch(struct watched *watched, struct employee *employee) {
    if (employee->log.pipe < 0)
        return;
    watched->employees[watched->count] = employee;
    watched->list[watched->count++] = (struct pollfd){employee->log.pipe, POLLIN, 0};
}

/* Signals, and when it is time for them the lines of workers. */
static void watch_all(struct staff *staff, struct watched *watched, bool relays) {
    watched->list[0] = (struct pollfd){staff->signals, POLLIN, 0};
    watched->count = 1;
    for (size_t i = 0; relays && i < staff->worker_count; i++)
        watch(watched, &staff->employees[i]);
    for (size_t i = 0; relays && i < RETIRED_MAX; i++)
        watch(watched, &staff->retired[i]);
}

/* Never waits for who reads the log: as long as that one takes nothing, lines stay in the pipes. */
static void relay_all(struct staff *staff, const struct watched *watched, uint64_t now) {
    for (size_t i = 1; i < watched->count; i++) {
        struct employee *employee = watched->employees[i];
        if (watched->list[i].revents == 0)
            continue;
        staff->relays_at = now + RELAY_PAUSE;
        if (relay_has_room() && !relay_lines(&employee->log, employee->process, now))
            relay_close(&employee->log, employee->process, now); /* its end; the worker goes on without, or has gone */
    }
}

static int take_signal(const struct staff *staff) {
    struct signalfd_siginfo signal;
    return read(staff->signals, &signal, sizeof signal) == (ssize_t)sizeof signal ? (int)signal.ssi_signo : 0;
}

int staff_wait(struct staff *staff, uint64_t milliseconds) {
    static struct watched watched;
    uint64_t now = clock_milliseconds(), until = now + milliseconds;
    do {
        bool relays = now >= staff->relays_at;
        uint64_t next = relays || until < staff->relays_at ? until : staff->relays_at;
        struct timespec timeout = {(time_t)((next - now) / 1000), (long)((next - now) % 1000) * 1000000};
        watch_all(staff, &watched, relays);
        if (ppoll(watched.list, watched.count, &timeout, NULL) > 0) {
            int signal = watched.list[0].revents ? take_signal(staff) : 0;
            if (signal != 0)
                return signal;
            relay_all(staff, &watched, now);
        }
        now = clock_milliseconds();
    } while (now < until);
    return 0;
}

/* ---- generations ---- */

/* A place for one more retired worker: a free one, or that of the eldest, whose time is over then. */
static struct employee *retirement(struct staff *staff) {
    struct employee *eldest = &staff->retired[0];
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        struct employee *retired = &staff->retired[i];
        if (retired->process == 0)
            return retired;
        if (retired->started < eldest->started)
            eldest = retired;
    }
    int status = 0;
    kill(eldest->process, SIGKILL);
    waitpid(eldest->process, &status, 0);
    bury(staff, eldest->process, status);
    return eldest;
}

/* The worker of this number takes no new connections from now on, and its number is free for the next generation. */
static void retire(struct staff *staff, size_t number) {
    struct employee *employee = &staff->employees[number];
    if (employee->process == 0)
        return;
    struct employee *retired = retirement(staff);
    struct worker_board *board = retired->board;
    kill(employee->process, SIGHUP);
    retired->process = employee->process;
    retired->started = employee->started;
    retired->retired = clock_milliseconds();
    retired->log = employee->log;
    employee->log.pipe = -1;
    retired->board = employee->board;
    employee->board = board;
    employee->process = 0;
    employee->start_at = 0;
}

void staff_renew(struct staff *staff) {
    for (size_t i = 0; i < staff->worker_count; i++) {
        retire(staff, i);
        start_worker(staff, i);
    }
}

size_t staff_ready(const struct staff *staff) {
    size_t ready = 0;
    for (size_t i = 0; i < staff->worker_count; i++)
        ready += staff->employees[i].process != 0 && staff->employees[i].board->ready;
    return ready;
}

bool staff_has_taken_over(const struct staff *staff) {
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        if (staff->retired[i].process != 0 && staff->retired[i].board->ready)
            return false;
    }
    return staff_ready(staff) == staff->worker_count;
}

/* ---- the end ---- */

static void signal_workers(const struct staff *staff, int signal) {
    for (size_t i = 0; i < staff->worker_count; i++) {
        if (staff->employees[i].process > 0)
            kill(staff->employees[i].process, signal);
    }
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        if (staff->retired[i].process > 0)
            kill(staff->retired[i].process, signal);
    }
}

static bool any_worker(const struct staff *staff) {
    bool any = false;
    for (size_t i = 0; i < staff->worker_count; i++)
        any |= staff->employees[i].process > 0;
    for (size_t i = 0; i < RETIRED_MAX; i++)
        any |= staff->retired[i].process > 0;
    return any;
}

static void stop_within(struct staff *staff, unsigned milliseconds) {
    uint64_t give_up = clock_milliseconds() + milliseconds;
    signal_workers(staff, milliseconds > 0 ? SIGTERM : SIGKILL);
    while (any_worker(staff)) {
        uint64_t now = clock_milliseconds();
        int signal = now < give_up ? staff_wait(staff, give_up - now) : 0;
        if (signal == 0 && milliseconds > 0)
            log_line(LOG_LEVEL_WARNING, "workers have not finished within %u seconds; ended", milliseconds / 1000);
        if (signal != SIGCHLD)
            signal_workers(staff, SIGKILL);
        int status;
        pid_t process;
        while (any_worker(staff) &&
               (process = waitpid(-1, &status, now < give_up && signal == SIGCHLD ? WNOHANG : 0)) > 0) {
            bury(staff, process, status);
            for (size_t i = 0; i < staff->worker_count; i++) {
                if (staff->employees[i].process == process) {
                    relay_close(&staff->employees[i].log, process, now);
                    staff->employees[i].process = 0;
                }
            }
            if (staff->keys.process == process)
                staff->keys.process = 0;
        }
    }
}

void staff_stop_workers(struct staff *staff) {
    stop_within(staff, GOODBYE + 1000);
}

void staff_end_workers(struct staff *staff) {
    stop_within(staff, 0);
}

/* The last to go: workers need it for the handshakes that they finish. */
static void stop_keys(struct staff *staff) {
    close_if_open(&staff->control);
    if (staff->keys.process > 0) {
        kill(staff->keys.process, SIGTERM);
        kill(staff->keys.process, SIGCONT); /* also when somebody had stopped it */
        waitpid(staff->keys.process, NULL, 0);
    }
}

void staff_dispose(struct staff *staff) {
    stop_keys(staff);
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        close_if_open(&staff->employees[i].desk);
        close_if_open(&staff->employees[i].channel);
    }
    if (staff->boards)
        munmap(staff->boards, boards_size(staff));
}
