/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "start.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/systemd.h"
#include "keys/key_client.h"
#include "keys/key_service.h"

#define LINGER 2000 /* milliseconds in which a client reads the end of a response before the connection closes */

/* ---- in a child ---- */

/* Closes what a child inherits and does not need. It must not read the log lines of workers. */
static void leave_behind(struct children *children) {
    children_close(&children->signals);
    for (size_t i = 0; i < children->worker_count; i++)
        children_close(&children->workers[i].log.pipe);
    for (size_t i = 0; i < RETIRED_MAX; i++)
        children_close(&children->retired[i].log.pipe);
}

/* Ends a child with the supervisor, however that ends; it may have ended before prctl. */
static void follow_parent(pid_t parent, const char *role) {
    sigset_t blocked;
    prctl(PR_SET_NAME, role); /* for ps(1), top(1) and the kernel's messages */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0);
    systemd_close();
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the supervisor decides */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM); /* unblocked at points where nothing is half done */
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* ---- the key process ---- */

static void keep_keys(struct children *children, int control, pid_t parent) {
    struct key_service_options options = {.state = children->state,
                                          .credentials = getenv("CREDENTIALS_DIRECTORY"),
                                          .controls = {control},
                                          .control_count = 1,
                                          .certificates = &children->generation->certificates,
                                          .listener = -1};
    follow_parent(parent, "vitrine-keys");
    leave_behind(children);
    /* Reloads come over the control socket; a terminal that closes is the supervisor's business. */
    signal(SIGHUP, SIG_IGN);
    for (size_t i = 0; i < children->listener_count; i++)
        close(children->listeners[i].descriptor);
    capsules_close(&children->generation->capsules);
    if (children->all_shared) /* the key process shares no memory with workers, and would lock all of it */
        munmap(children->all_shared, children_shared_size(children));
    for (size_t i = 0; i < children->worker_count; i++) {
        children_close(&children->workers[i].signing_client);
        if (children->workers[i].channel >= 0)
            options.channels[options.channel_count++] = children->workers[i].channel;
    }
    _exit(sandbox_enter(SANDBOX_KEYS, -1) == 0 ? key_service_serve(&options) : EX_OSERR);
}

int children_start_keys(struct children *children) {
    int pair[2];
    pid_t parent = getpid();
    if (children->keys_apart)
        return 0;
    children_close(&children->control);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    children->keys.process = fork();
    int result = children->keys.process < 0 ? -errno : 0;
    if (children->keys.process == 0) {
        close(pair[0]);
        keep_keys(children, pair[1], parent);
    }
    children->keys.started = clock_milliseconds();
    close(pair[1]);
    children->control = pair[0];
    return result;
}

/* Opens a channel between the key process and a worker that is about to start. Returns 0 or -errno. */
static int open_channel(struct children *children, struct child *child) {
    int pair[2];
    children_close(&child->signing_client);
    children_close(&child->channel);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    child->signing_client = pair[0];
    child->channel = pair[1];
    int result = key_client_attach(children->control, pair[1], &children->generation->certificates);
    if (children->keys_apart)
        children_close(&child->channel); /* its service manager keeps it over a restart */
    return result;
}

/* ---- workers ---- */

/*
 * If root started the server, a worker gives up the rights of root. It keeps them only if the content folder is closed
 * to others: then its owner wants to serve pages that nobody else on this machine may read.
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
    if (setgroups(0, NULL) < 0 || setgid(SANDBOX_NOBODY) < 0 || setuid(SANDBOX_NOBODY) < 0)
        log_line(LOG_LEVEL_WARNING, "a worker keeps running as root: %s", strerror(errno));
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a change of user cleared it */
    if (getppid() != parent)
        _exit(0);
}

/*
 * Lets a worker write only its own part of the shared memory. Its sandbox forbids making memory writable again. Returns
 * 0 or -errno.
 */
static int keep_to_own_memory(const struct children *children, const struct worker_shared *shared) {
    return mprotect(children->all_shared, children_shared_size(children), PROT_READ) == 0 &&
                   mprotect((void *)(uintptr_t)shared, sizeof *shared, PROT_READ | PROT_WRITE) == 0
               ? 0
               : -errno;
}

static void work(struct children *children, size_t number, pid_t parent, int log) {
    follow_parent(parent, "vitrine-worker");
    int result = relay_enter(log);
    if (result == 0)
        result = keep_to_own_memory(children, children->workers[number].shared);
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot set up a worker: %s", strerror(-result));
        _exit(EX_OSERR);
    }
    leave_behind(children);
    sandbox_tell(true, &children->workers[number].shared->forbidden);
    leave_root(children, parent);
    children_close(&children->control);
    for (size_t i = 0; i < children->worker_count; i++) {
        children_close(&children->workers[i].channel);
        if (i != number)
            children_close(&children->workers[i].signing_client);
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
                      .shutdown_grace = CHILDREN_SHUTDOWN_GRACE},
        .shared = children->workers[number].shared,
        .all_shared = children->all_shared,
        .shared_count = children->shared_count,
        .hash_key = children->hash_key,
        .probe = children->probe,
        .kept_most = (size_t)BOUND_KEPT / (children->worker_count > 0 ? children->worker_count : 1),
    };
    _exit(worker_serve(&setup));
}

void children_start_worker(struct children *children, size_t number, unsigned delay) {
    struct child *child = &children->workers[number];
    pid_t parent = getpid();
    child->shared->ready = 0;
    child->shared->forbidden = -1;
    child->shared->room = 0;
    child->shared->counters.open = 0;
    if (child->shared->used) /* untouched pages take no memory */
        quota_forget_connections(&child->shared->quota);
    child->shared->used = true;
    int log = relay_open(&child->log), result = open_channel(children, child);
    if (result < 0)
        log_line(LOG_LEVEL_ERROR, "worker %zu: no channel to the key process: %s", number, strerror(-result));
    child->process = log < 0 ? -1 : fork();
    if (child->process == 0)
        work(children, number, parent, log);
    result = log < 0 ? log : child->process < 0 ? -errno : 0;
    if (log >= 0)
        close(log);
    child->started = child->beat_seen = clock_milliseconds();
    if (result < 0) {
        log_line(LOG_LEVEL_ERROR, "worker %zu: cannot start a process: %s; trying again", number, strerror(-result));
        child->process = 0;
        child->start_at = child->started + delay;
    }
}
