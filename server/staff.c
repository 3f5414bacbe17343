/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "staff.h"

#include <errno.h>
#include <grp.h>
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

#include "clock.h"
#include "keys.h"
#include "log.h"
#include "manager.h"
#include "sandbox.h"

#define NOBODY 65534     /* who owns nothing, on every system */
#define HUNG_AFTER 15000 /* milliseconds without a beat: a worker that hangs is killed and replaced */
#define DELAY_FIRST 50   /* milliseconds before a worker that died young is replaced; doubles each time */
#define DELAY_MAX 10000
#define YOUNG 5000

#define FAREWELL 2000 /* milliseconds in which a visitor reads the end of a reply before the connection closes */
#define GOODBYE 5000  /* milliseconds that open connections get at a stop */

static void close_if_open(int *descriptor) {
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

/* ---- places ---- */

void staff_begin(struct staff *staff) {
    *staff = (struct staff){.control = -1};
    for (size_t i = 0; i < WORKERS_MAX; i++)
        staff->employees[i].desk = staff->employees[i].channel = -1;
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
        log_line(LOG_LEVEL_ERROR, "no memory for the workers: %s", strerror(errno));
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
                                   .listener = -1};
    follow_parent(parent, "vitrine-keys");
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
    bool attached = keys_attach(staff->control, pair[1]);
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
                 "content folder %s is not open to everybody, so workers have to go on as root; "
                 "chmod o+rx lets them do without",
                 staff->content);
        return;
    }
    if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        log_line(LOG_LEVEL_WARNING, "a worker goes on as root: %s", strerror(errno));
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* another id undoes it */
    if (getppid() != parent)
        _exit(0);
}

static void work(struct staff *staff, size_t number, pid_t parent) {
    follow_parent(parent, "vitrine-worker");
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
        .deadlines = {.stage = {[STAGE_HANDSHAKE] = generation->settings.handshake_timeout,
                                [STAGE_REQUEST] = generation->settings.request_timeout,
                                [STAGE_REPLY] = generation->settings.reply_timeout,
                                [STAGE_FAREWELL] = FAREWELL},
                      .goodbye = GOODBYE},
        .board = staff->employees[number].board,
        .boards = staff->boards,
        .board_count = staff->board_count,
        .connections_max = (generation->settings.max_connections + staff->worker_count - 1) / staff->worker_count,
        .hash_key = staff->hash_key,
    };
    _exit(worker_serve(&orders));
}

static void start_worker(struct staff *staff, size_t number) {
    struct employee *employee = &staff->employees[number];
    pid_t parent = getpid();
    employee->board->ready = 0;
    employee->board->tally.open = 0;
    if (employee->board->used) /* what was never touched takes no memory */
        memset(&employee->board->quota, 0, sizeof employee->board->quota);
    employee->board->used = true;
    if (!open_channel(staff, employee))
        log_line(LOG_LEVEL_ERROR, "worker %zu: no channel to the key process: %s", number, strerror(errno));
    employee->process = fork();
    if (employee->process == 0)
        work(staff, number, parent);
    employee->started = employee->beat_seen = clock_milliseconds();
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
    uint64_t now = clock_milliseconds();
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
static bool bury(struct staff *staff, pid_t process) {
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        struct employee *retired = &staff->retired[i];
        if (retired->process == process) {
            staff->answered += retired->board->tally.answered;
            memset(retired->board, 0, sizeof *retired->board);
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
        bool known = bury(staff, process) || mourn(&staff->keys, "key process", process, status);
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
        log_line(LOG_LEVEL_ERROR, "the key process cannot be started: %s; tried again", strerror(errno));
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

void staff_look_after(struct staff *staff) {
    look_after_keys(staff);
    look_after_workers(staff);
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

int staff_wait(const struct staff *staff, uint64_t milliseconds) {
    struct timespec timeout = {(time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000};
    int signal = sigtimedwait(staff->signals, NULL, &timeout);
    return signal < 0 ? 0 : signal;
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
    kill(eldest->process, SIGKILL);
    waitpid(eldest->process, NULL, 0);
    bury(staff, eldest->process);
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

void staff_stop_workers(struct staff *staff) {
    uint64_t give_up = clock_milliseconds() + GOODBYE + 1000;
    signal_workers(staff, SIGTERM);
    while (any_worker(staff)) {
        uint64_t now = clock_milliseconds();
        int signal = now < give_up ? staff_wait(staff, give_up - now) : 0;
        if (signal != SIGCHLD)
            signal_workers(staff, SIGKILL);
        int status;
        pid_t process;
        while (any_worker(staff) &&
               (process = waitpid(-1, &status, now < give_up && signal == SIGCHLD ? WNOHANG : 0)) > 0) {
            bury(staff, process);
            for (size_t i = 0; i < staff->worker_count; i++) {
                if (staff->employees[i].process == process)
                    staff->employees[i].process = 0;
            }
            if (staff->keys.process == process)
                staff->keys.process = 0;
        }
    }
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
