/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The supervisor's child processes: what they inherit, what they leave behind, and how they are replaced. */
#include <criterion/criterion.h>

/*
 * This file includes the source under test; renaming avoids conflicts with the linked copy. The children's functions
 * are replaced with some that record what they see.
 */
#define children_begin test_children_begin
#define children_start_keys test_children_start_keys
#define children_make_places test_children_make_places
#define children_renew test_children_renew
#define children_ready test_children_ready
#define children_has_taken_over test_children_has_taken_over
#define children_reap test_children_reap
#define children_look_after test_children_look_after
#define children_wake test_children_wake
#define children_examine test_children_examine
#define children_wait test_children_wait
#define children_stop_workers test_children_stop_workers
#define children_end_workers test_children_end_workers
#define children_dispose test_children_dispose
#define retire retire_worker
#define worker_serve pretended_worker
#define key_service_serve pretended_keys
#define key_client_attach pretended_attach
#define sandbox_enter pretended_sandbox_of_keys
#define children_start_worker test_children_start_worker
#define children_close test_children_close
#define children_shared_size test_children_shared_size
#include "supervisor/children.c"
#include "supervisor/start.c"
#include "supervisor/watch.c"
#undef retire

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>

#include "logged.h"

#define WORKERS 2

static struct children children;
static struct worker_shared shared;

/* Starts a worker of an earlier generation that was told to leave `ago` milliseconds ago, and never ends by itself. */
static pid_t retire(uint64_t ago, int ready) {
    pid_t process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with the test if that fails */
        for (;;)
            pause();
    }
    children_begin(&children);
    children.keys_apart = true;
    shared.ready = ready;
    children.retired[0].process = process;
    children.retired[0].shared = &shared;
    children.retired[0].retired = clock_milliseconds() - ago;
    return process;
}

/*
 * Was a process ended by a signal? Waits long only if it should be, because a busy machine may be slow. Collects its
 * status if so.
 */
static bool was_killed(pid_t process, bool expected) {
    int status;
    for (int round = 0; round < (expected ? 1000 : 3); round++) {
        if (waitpid(process, &status, WNOHANG) == process)
            return WIFSIGNALED(status);
        usleep(10000);
    }
    return false;
}

static void dismiss(pid_t process) {
    kill(process, SIGKILL);
    waitpid(process, NULL, 0);
}

static void expect_end(uint64_t ago, int ready, bool expected, const char *why) {
    pid_t process = retire(ago, ready);
    children_look_after(&children);
    bool killed = was_killed(process, expected);
    cr_expect_eq(killed, expected, "%s", why);
    if (!killed)
        dismiss(process);
}

Test(children, who_is_told_to_leave_has_to_go_some_time) {
    expect_end(1000, 1, false, "it has just been told");
    expect_end(20000, 1, true, "it still takes connections");
    expect_end(20000, 0, false, "it finishes what it has");
    expect_end(800000, 0, false, "it has some time left");
    expect_end(901000, 0, true, "it has had its time");
}

/* ---- active workers ---- */

/* Starts a worker whose last beat was `ago` milliseconds ago. */
static pid_t employ(uint64_t ago) {
    pid_t process = retire(0, 0);
    children.retired[0].process = 0;
    memset(&shared, 0, sizeof shared);
    children.worker_count = 1;
    children.workers[0].process = process;
    children.workers[0].shared = &shared;
    children.workers[0].beat_seen = clock_milliseconds() - ago;
    return process;
}

Test(children, a_worker_without_a_beat_hangs) {
    pid_t process = employ(10000);
    children_look_after(&children);
    cr_expect_not(was_killed(process, false), "it may have been busy");
    dismiss(process);
    process = employ(16000);
    shared.beats = 1;
    children_look_after(&children);
    cr_expect_not(was_killed(process, false), "there was a beat since");
    children_look_after(&children);
    cr_expect_not(was_killed(process, false), "its time begins anew with a beat");
    dismiss(process);
    process = employ(16000);
    children_look_after(&children);
    cr_expect_gt(children.workers[0].beat_seen + 10000, clock_milliseconds(), "it is told once");
    cr_expect(was_killed(process, true));
}

/* A worker in doubt has two seconds until its next beat. */
Test(children, an_examination_is_short) {
    pid_t process = employ(0);
    children_examine(&children);
    children_look_after(&children);
    cr_expect_not(was_killed(process, false));
    children.workers[0].beat_seen -= 2000;
    children_look_after(&children);
    cr_expect(was_killed(process, true));
}

/* A worker ends after `life` milliseconds. Returns how long its place stays empty. */
static unsigned pause_after(uint64_t life) {
    pid_t process = fork();
    if (process == 0)
        _exit(1);
    children.workers[0].process = process;
    children.workers[0].started = clock_milliseconds() - life;
    uint64_t before = clock_milliseconds();
    while (children.workers[0].process != 0)
        children_reap(&children);
    uint64_t start_at = children.workers[0].start_at;
    cr_expect_geq(start_at, before + children.workers[0].delay);
    cr_expect_leq(start_at, clock_milliseconds() + children.workers[0].delay);
    return children.workers[0].delay;
}

Test(children, who_dies_young_is_replaced_ever_later) {
    static const unsigned delays[] = {50, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    dismiss(employ(0));
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++)
        cr_expect_eq(pause_after(0), delays[i], "death %zu", i);
    cr_expect_eq(pause_after(5000), 0, "one that has worked for a while is replaced at once");
    cr_expect_eq(pause_after(0), 50);
}

/* Connections of a dead worker no longer count, and no new ones are sent to it. */
Test(children, what_a_dead_worker_counted_is_forgotten) {
    dismiss(employ(0));
    shared.room = 1;
    memset(&shared.quota, 1, sizeof shared.quota);
    shared.counters.answered = 3;
    pause_after(0);
    static const struct quota none;
    cr_expect_eq(shared.room, 0);
    cr_expect_arr_eq(&shared.quota, &none, sizeof none);
    cr_expect_eq(shared.counters.answered, 3, "that is still told");
}

Test(children, when_there_is_something_to_do) {
    dismiss(employ(0));
    children.workers[0].start_at = 500;
    cr_expect_eq(children_wake(&children, 1000), 1000, "nobody is missing");
    children.workers[0].process = 0;
    cr_expect_eq(children_wake(&children, 1000), 500);
    cr_expect_eq(children_wake(&children, 400), 400);
    children.keys.start_at = 300;
    cr_expect_eq(children_wake(&children, 1000), 500, "the key process is a service of its own");
    children.keys_apart = false;
    cr_expect_eq(children_wake(&children, 1000), 300);
    children.keys.process = 1;
    cr_expect_eq(children_wake(&children, 1000), 500);
}

Test(children, when_a_generation_has_taken_over) {
    static struct worker_shared former;
    dismiss(employ(0));
    cr_expect_eq(children_ready(&children), 0);
    cr_expect_not(children_has_taken_over(&children), "the new one is not ready");
    shared.ready = 1;
    cr_expect_eq(children_ready(&children), 1);
    cr_expect(children_has_taken_over(&children));
    former.ready = 1;
    children.retired[1].shared = &former;
    cr_expect(children_has_taken_over(&children), "nobody is there");
    children.retired[1].process = 1;
    cr_expect_not(children_has_taken_over(&children), "an old one still takes connections");
    former.ready = 0;
    cr_expect(children_has_taken_over(&children));
    children.workers[0].process = 0;
    cr_expect_eq(children_ready(&children), 0);
    cr_expect_not(children_has_taken_over(&children));
}

/* The requests of a worker of an earlier generation stay counted after it ends; its shared memory is free. */
Test(children, who_has_finished_is_told_of_where_it_matters) {
    static const struct {
        int status;
        size_t lines;
    } cases[] = {{0, 0}, {1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dismiss(retire(0, 1));
        pid_t process = fork();
        if (process == 0)
            _exit(cases[i].status);
        children.retired[0].process = process;
        children.answered = 4;
        shared.counters.answered = 3;
        logged_begin();
        while (children.retired[0].process != 0)
            children_reap(&children);
        cr_expect_eq(logged_count(logged_end(), "worker of an earlier generation"), cases[i].lines);
        cr_expect_eq(children.answered, 7);
        cr_expect_eq(shared.counters.answered, 0);
        cr_expect_eq(shared.ready, 0);
    }
}

/*
 * 64 KiB is the largest page size: a process that may write to one worker's memory must not be able to write to
 * another's on the same page.
 */
Test(children, shared_memory_has_pages_of_its_own) {
    cr_expect_eq(sizeof(struct worker_shared) % 65536, 0);
    cr_expect_eq((uintptr_t)&shared % 65536, 0);
}

/* ---- whole child processes ---- */

/* What a child process has seen, for the test. */
static struct seen {
    char name[17], fallback[16], language[16];
    bool ran, writes_own, writes_others, reads_all, ignores_interrupt, ignores_hangup, blocks_stop, has_control;
    int death_signal, descriptors, channel_count;
    uid_t user;
    struct deadlines deadlines;
    size_t listener_count, shared_count, connections_max, kept_most;
    uint8_t hash_key;
    int sandbox;
} *seen; /* of each worker, then of the key process */

#define KEYS_SEEN 8

static struct generation generation;
static struct listener listener;
static int control[2], sandbox_result, worker_status, keys_status;
static bool worker_is_stubborn, worker_can_attach = true;

static int open_descriptors(void) {
    int count = 0;
    for (int i = 0; i < 256; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

/* Can this process write there? Asks the kernel, so that it does not crash. */
static bool may_write(volatile void *place) {
    int ends[2];
    char byte = *(volatile char *)place;
    if (pipe(ends) < 0 || write(ends[1], &byte, 1) != 1)
        return false;
    bool may = read(ends[0], (void *)(uintptr_t)place, 1) == 1;
    close(ends[0]), close(ends[1]);
    return may;
}

static bool may_read(const void *place) {
    int ends[2];
    if (pipe(ends) < 0)
        return false;
    bool may = write(ends[1], place, 1) == 1;
    close(ends[0]), close(ends[1]);
    return may;
}

static void see(struct seen *one) {
    struct sigaction action;
    sigset_t blocked;
    prctl(PR_GET_NAME, one->name);
    prctl(PR_GET_PDEATHSIG, &one->death_signal);
    sigaction(SIGINT, NULL, &action);
    one->ignores_interrupt = action.sa_handler == SIG_IGN;
    sigaction(SIGHUP, NULL, &action);
    one->ignores_hangup = action.sa_handler == SIG_IGN;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    one->blocks_stop =
        sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGHUP) && !sigismember(&blocked, SIGCHLD);
    one->descriptors = open_descriptors();
    one->user = geteuid();
    one->has_control = children.control >= 0;
}

int pretended_worker(const struct worker_setup *setup) {
    size_t number = (size_t)(setup->shared - setup->all_shared);
    struct seen *one = &seen[number < KEYS_SEEN ? number : KEYS_SEEN - 1];
    see(one);
    one->writes_own = may_write(&setup->shared->room);
    one->writes_others = may_write((void *)(uintptr_t)&setup->all_shared[number == 0].room);
    snprintf(one->fallback, sizeof one->fallback, "%s", setup->fallback);
    snprintf(one->language, sizeof one->language, "%s", setup->capsules->language ? setup->capsules->language : "");
    one->deadlines = setup->deadlines;
    one->listener_count = setup->listener_count;
    one->shared_count = setup->shared_count;
    one->connections_max = setup->settings->max_connections;
    one->kept_most = setup->kept_most;
    one->hash_key = setup->hash_key[5];
    one->channel_count = fcntl(setup->channel, F_GETFD) >= 0;
    setup->shared->counters.answered = 3;
    setup->shared->counters.open = 5;
    setup->shared->room = 1;
    one->ran = true;
    fprintf(stderr, "a line of a worker\n");
    setup->shared->ready = 1;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    while (sigwaitinfo(&signals, NULL) < 0 || worker_is_stubborn)
        ;
    fprintf(stderr, "the last line\n");
    return worker_status;
}

int pretended_keys(const struct key_service_options *options) {
    struct seen *one = &seen[KEYS_SEEN];
    see(one);
    one->channel_count = (int)options->channel_count;
    for (size_t i = 0; i < options->channel_count; i++)
        one->channel_count -= fcntl(options->channels[i], F_GETFD) < 0;
    one->listener_count = (size_t)options->listener + 1;
    one->reads_all = children.shared_count > 0 && children.all_shared && may_read(children.all_shared);
    one->has_control = options->control_count == 1 && fcntl(options->controls[0], F_GETFD) >= 0;
    snprintf(one->fallback, sizeof one->fallback, "%s %s", options->state, options->credentials);
    one->writes_own = options->certificates == &generation.certificates;
    one->ran = true;
    char byte;
    if (keys_status == 0)
        (void)!read(options->controls[0], &byte, 1); /* until the supervisor is gone, or a signal arrives */
    return keys_status;
}

int pretended_attach(int to, int channel, const struct certificates *certificates) {
    cr_expect_eq(to, children.control);
    cr_expect_eq(certificates, &generation.certificates);
    cr_expect(fcntl(channel, F_GETFL) & O_NONBLOCK);
    return worker_can_attach ? 0 : -EPIPE;
}

int pretended_sandbox_of_keys(enum sandbox_role role, int folder) {
    seen[KEYS_SEEN].sandbox = role == SANDBOX_KEYS && folder == -1 ? 1 : -1;
    return sandbox_result;
}

/* Makes a supervisor that has not started children yet. Returns how many descriptors it had before. */
static int begin_supervisor(bool keys_apart) {
    int before = open_descriptors();
    sigset_t signals;
    seen = mmap(NULL, (KEYS_SEEN + 1) * sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(seen, MAP_FAILED);
    log_limit(LOG_LEVEL_NOTICE);
    signal(SIGHUP, SIG_DFL); /* the supervisor does not ignore it either, even if it was started by nohup */
    children_begin(&children);
    settings_default(&generation.settings);
    generation.settings.handshake_timeout = 11;
    generation.settings.request_timeout = 12;
    generation.settings.reply_timeout = 13;
    generation.settings.max_connections = 14;
    strcpy(generation.settings.language, "de");
    generation.fallback = "a host";
    generation.capsules.folder = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);
    listener = (struct listener){dup(generation.capsules.folder), 1965};
    children.generation = &generation;
    children.listeners = &listener;
    children.listener_count = 1;
    children.content = "content";
    children.state = "state";
    children.keys_apart = keys_apart;
    children.hash_key[5] = 77;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    children.control = control[0];
    close(control[1]);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    children.signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    cr_assert(children_make_places(&children, WORKERS));
    return before;
}

static void end_supervisor(int before) {
    children_dispose(&children);
    close(children.signals), close(listener.descriptor), close(generation.capsules.folder);
    cr_expect_eq(open_descriptors(), before, "a descriptor is left open");
}

/* Waits until the condition is true: a busy machine may be slow. */
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        for (int round = 0; round < 20000 && !(condition); round++)                                                    \
            children_wait(&children, 1);                                                                               \
        cr_assert(condition);                                                                                          \
    } while (0)

Test(children, places_of_workers) {
    int before = begin_supervisor(true);
    cr_expect_eq(children.worker_count, WORKERS);
    cr_expect_eq(children.shared_count, WORKERS + 128);
    for (size_t i = 0; i < WORKERS; i++)
        cr_expect_eq(children.workers[i].shared, &children.all_shared[i]);
    for (size_t i = 0; i < 128; i++)
        cr_expect_eq(children.retired[i].shared, &children.all_shared[WORKERS + i]);
    cr_expect_eq(children.all_shared[children.shared_count - 1].ready, 0, "there is memory to the last of them");
    cr_expect_eq(children_wait(&children, 0), 0);
    uint64_t begun = clock_milliseconds();
    cr_expect_eq(children_wait(&children, 30), 0);
    cr_expect_geq(clock_milliseconds(), begun + 30);
    cr_assert_eq(raise(SIGINT), 0);
    cr_expect_eq(children_wait(&children, 100000), SIGINT);
    static struct children nobody;
    children_begin(&nobody);
    children_dispose(&nobody);
    end_supervisor(before);
}

Test(children, workers_of_two_generations) {
    int before = begin_supervisor(true);
    size_t count = children.worker_count;
    for (size_t i = 0; i < count; i++) {
        children.workers[i].shared->used = i == 0;
        children.workers[i].shared->quota.open = 7;
        children.workers[i].shared->forbidden = 3;
        children.workers[i].shared->counters.open = 9;
    }
    uint64_t begun = clock_milliseconds();
    children_renew(&children);
    for (size_t i = 0; i < count; i++) {
        cr_expect_geq(children.workers[i].started, begun);
        cr_expect_eq(children.workers[i].started, children.workers[i].beat_seen);
        cr_expect_eq(children.workers[i].channel, -1, "the service manager keeps it");
        cr_expect_eq(children.workers[i].shared->quota.open, i == 0 ? 0 : 7, "what was never used is not touched");
        cr_expect(children.workers[i].shared->used);
    }
    WAIT_UNTIL(children_ready(&children) == count);
    cr_expect(children_has_taken_over(&children));
    for (size_t i = 0; i < count; i++) {
        cr_assert(seen[i].ran);
        cr_expect_str_eq(seen[i].name, "vitrine-worker");
        cr_expect_eq(seen[i].death_signal, SIGTERM);
        cr_expect(seen[i].ignores_interrupt && seen[i].blocks_stop && !seen[i].ignores_hangup);
        cr_expect_not(seen[i].has_control, "it could give orders to the key process");
        cr_expect_eq(seen[i].descriptors, before + 3, "its channel, the listener and the content: %d more",
                     seen[i].descriptors - before);
        cr_expect_eq(seen[i].user, geteuid() == 0 ? 65534 : geteuid());
        cr_expect(seen[i].writes_own);
        cr_expect_not(seen[i].writes_others);
        cr_expect_str_eq(seen[i].fallback, "a host");
        cr_expect_str_eq(seen[i].language, "de");
        cr_expect_eq(seen[i].listener_count, 1);
        cr_expect_eq(seen[i].shared_count, children.shared_count);
        cr_expect_eq(seen[i].connections_max, 14);
        cr_expect_eq(seen[i].kept_most, BOUND_KEPT / count, "together they keep no more than the bound");
        cr_expect_eq(seen[i].hash_key, 77);
        cr_expect_eq(seen[i].channel_count, 1);
        static const struct deadlines expected = {.of = {11, 11, 12, 13, 2000}, .shutdown_grace = 5000};
        cr_expect_arr_eq(&seen[i].deadlines, &expected, sizeof expected);
        cr_expect_eq(children.workers[i].shared->forbidden, -1);
    }
    /* The next generation. */
    pid_t former = children.workers[0].process;
    struct worker_shared *memory = children.workers[0].shared;
    uint64_t started = children.workers[0].started;
    children_renew(&children);
    cr_expect_neq(children.workers[0].process, former);
    cr_expect_eq(children.retired[0].process, former);
    cr_expect_eq(children.retired[0].started, started);
    cr_expect_geq(children.retired[0].retired, started);
    cr_expect_eq(children.retired[0].shared, memory);
    cr_expect_neq(children.workers[0].shared, memory);
    cr_expect_geq(children.retired[0].log.pipe, 0);
    logged_begin();
    WAIT_UNTIL((children_reap(&children), children_ready(&children) == count && children.retired[0].process == 0 &&
                                              children.retired[count - 1].process == 0));
    const char *text = logged_end();
    cr_expect_gt(logged_count(text, "the last line\n"), 0, "%s", text);
    cr_expect_null(strstr(text, "ended by"), "%s", text);
    cr_expect_eq(children.answered, 3 * count);
    cr_expect_eq(memory->counters.answered, 0);
    cr_expect(memory->used, "rates go on");
    cr_expect_eq(children.retired[0].log.pipe, -1);
    cr_expect(children_has_taken_over(&children));
    logged_begin();
    children_stop_workers(&children);
    text = logged_end();
    cr_expect_not(any_worker(&children));
    cr_expect_null(strstr(text, "have not finished"), "%s", text);
    cr_expect_gt(logged_count(text, "the last line\n"), 0, "%s", text);
    end_supervisor(before);
}

/* A worker that ignores the first signal to stop is ended by a second one, or at once if that is wanted. */
Test(children, stubborn_workers) {
    worker_is_stubborn = true;
    int before = begin_supervisor(true);
    children_renew(&children);
    WAIT_UNTIL(children_ready(&children) == children.worker_count);
    cr_assert_eq(raise(SIGTERM), 0);
    uint64_t begun = clock_milliseconds();
    children_stop_workers(&children);
    cr_expect_lt(clock_milliseconds() - begun, 5000, "it waited for all of their time");
    cr_expect_not(any_worker(&children));
    children_renew(&children);
    WAIT_UNTIL(children_ready(&children) == children.worker_count);
    children_renew(&children);
    cr_expect_gt(children.retired[0].process, 0);
    logged_begin();
    children_end_workers(&children);
    cr_expect_null(strstr(logged_end(), "have not finished"));
    cr_expect_not(any_worker(&children));
    end_supervisor(before);
}

/*
 * Root can read content that others cannot. If the owner wants such content served, workers stay root, and only then.
 */
Test(children, a_content_folder_that_is_closed) {
    char folder[] = "/tmp/vitrine-children-XXXXXX";
    cr_assert_not_null(mkdtemp(folder));
    int before = begin_supervisor(true);
    for (mode_t mode = 0750; mode <= 0755; mode++) {
        struct seen *one = &seen[0];
        cr_assert_eq(chmod(folder, mode), 0);
        close(generation.capsules.folder);
        generation.capsules.folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        memset(seen, 0, sizeof *seen);
        logged_begin();
        children_renew(&children);
        WAIT_UNTIL(children_ready(&children) == children.worker_count);
        children_stop_workers(&children);
        const char *text = logged_end();
        if (geteuid() == 0) {
            cr_expect_eq(one->user, mode == 0755 ? 65534 : 0, "%o", mode);
            cr_expect_eq(strstr(text, "content folder content is not readable by everyone") != NULL, mode != 0755);
        }
    }
    end_supervisor(before);
    rmdir(folder);
}

static void expect_keys(int before, int channels) {
    const struct seen *one = &seen[KEYS_SEEN];
    WAIT_UNTIL(one->ran);
    cr_expect_str_eq(one->name, "vitrine-keys");
    cr_expect_eq(one->death_signal, SIGTERM);
    cr_expect(one->ignores_interrupt && one->blocks_stop);
    cr_expect(one->ignores_hangup, "a terminal that closes is the supervisor's affair");
    cr_expect_eq(one->user, geteuid());
    cr_expect_eq(one->sandbox, 1);
    cr_expect_eq(one->channel_count, channels);
    cr_expect_eq(one->descriptors, before + 1 + channels, "its control and the channels: %d more",
                 one->descriptors - before);
    cr_expect_eq(one->listener_count, 0, "nobody comes from elsewhere");
    cr_expect(one->has_control && one->writes_own);
    cr_expect_not(one->reads_all, "it shares no memory with workers");
    cr_expect_str_eq(one->fallback, "state given");
}

Test(children, a_key_process) {
    setenv("CREDENTIALS_DIRECTORY", "given", 1);
    int before = begin_supervisor(false);
    uint64_t begun = clock_milliseconds();
    cr_assert_eq(children_start_keys(&children), 0);
    cr_expect_geq(children.keys.started, begun);
    cr_expect_neq(fcntl(children.control, F_GETFD), -1);
    expect_keys(before, 0);
    children_renew(&children);
    WAIT_UNTIL(children_ready(&children) == children.worker_count);
    for (size_t i = 0; i < children.worker_count; i++) {
        cr_expect_eq(seen[i].descriptors, before + 3, "%d more", seen[i].descriptors - before);
        cr_expect_geq(children.workers[i].channel, 0, "kept for the next key process");
    }
    /* The key process ends, and another one replaces it, with the same channels. */
    logged_begin();
    kill(children.keys.process, SIGKILL);
    WAIT_UNTIL((children_reap(&children), children.keys.process == 0));
    const char *text = logged_end();
    cr_expect_eq(logged_count(text, "key process (process "), 1, "%s", text);
    cr_expect_not_null(strstr(text, ") ended by signal 9\n"));
    cr_expect_eq(children.keys.delay, 50);
    memset(&seen[KEYS_SEEN], 0, sizeof *seen);
    children.keys.start_at = clock_milliseconds() + 100000;
    children_look_after(&children);
    cr_expect_eq(children.keys.process, 0, "not yet");
    children.keys.start_at = clock_milliseconds();
    children_look_after(&children);
    cr_assert_gt(children.keys.process, 0);
    expect_keys(before, (int)children.worker_count);
    children_stop_workers(&children);
    pid_t process = children.keys.process;
    kill(process, SIGSTOP);
    end_supervisor(before);
    cr_expect_eq(kill(process, 0), -1, "it is gone, also when somebody had stopped it");
}

Test(children, a_key_process_that_cannot_be) {
    setenv("CREDENTIALS_DIRECTORY", "given", 1);
    int before = begin_supervisor(false);
    sandbox_result = -1;
    cr_assert_eq(children_start_keys(&children), 0);
    logged_begin();
    WAIT_UNTIL((children_reap(&children), children.keys.process == 0));
    cr_expect_not_null(strstr(logged_end(), ") ended by exit status 71\n"));
    cr_expect_not(seen[KEYS_SEEN].ran);
    /* Without descriptors, it cannot be started. */
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    children_close(&children.control);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
    int started = children_start_keys(&children);
    children.keys.start_at = 0;
    uint64_t begun = clock_milliseconds();
    children.worker_count = 0;
    children_look_after(&children);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect_eq(started, -EMFILE);
    cr_expect_eq(children.keys.process, 0);
    cr_expect_geq(children.keys.start_at, begun + 10000, "it is tried again");
    cr_expect_lt(children.keys.start_at, begun + 20000);
    children.keys_apart = true;
    cr_expect_eq(children_start_keys(&children), 0, "it is a service of its own");
    cr_expect_eq(children.keys.process, 0);
    end_supervisor(before);
}

Test(children, a_worker_that_cannot_be) {
    int before = begin_supervisor(true);
    struct rlimit limit;
    children.worker_count = 1;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    logged_begin();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
    children_look_after(&children);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const char *text = logged_end();
    cr_expect_not_null(strstr(text, "worker 0: no channel to the key process: Too many open files"), "%s", text);
    cr_expect_not_null(strstr(text, "worker 0: cannot start a process: Too many open files; trying again"));
    cr_expect_eq(children.workers[0].process, 0);
    cr_expect_eq(children.workers[0].start_at, children.workers[0].started + 10000);
    children.workers[0].start_at = clock_milliseconds() + 100000;
    children_look_after(&children);
    cr_expect_eq(children.workers[0].process, 0, "not yet");
    children.workers[0].start_at = clock_milliseconds();
    worker_can_attach = false;
    logged_begin();
    children_look_after(&children);
    text = logged_end();
    cr_expect_not_null(strstr(text, "worker 0: no channel to the key process"), "%s", text);
    cr_assert_gt(children.workers[0].process, 0, "it starts all the same");
    children_end_workers(&children);
    end_supervisor(before);
}

/* The log says what ended a child, and what a forbidden call may mean. */
Test(children, what_is_told_of_an_end) {
    static const struct {
        int exit, signal, forbidden;
        const char *told;
    } cases[] = {
        {3, 0, -1, ") ended by exit status 3\n"},
        {0, SIGSEGV, -1, ") ended by signal 11\n"},
        {0, SIGSYS, 41, ") was killed at a forbidden system call: "},
        {SANDBOX_EXIT, 0, 41, " (number 41); an attacker may have taken it over\n"},
        {SIGSYS, 0, -1, ") ended by exit status 31\n"},
        {0, SANDBOX_EXIT == SIGTERM ? SIGKILL : SIGTERM, -1, ") ended by signal "},
    };
    log_limit(LOG_LEVEL_WARNING);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        bool is_former = i % 2 != 0;
        dismiss(retire(0, 0));
        pid_t process = fork();
        if (process == 0) {
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            signal(SIGSEGV, SIG_DFL), signal(SIGSYS, SIG_DFL), signal(SIGTERM, SIG_DFL);
            if (cases[i / 2].signal)
                kill(getpid(), cases[i / 2].signal);
            _exit(cases[i / 2].exit);
        }
        shared.forbidden = cases[i / 2].forbidden;
        children.retired[0].process = is_former ? process : 0;
        children.worker_count = 1;
        children.workers[0].shared = &shared;
        children.workers[0].process = is_former ? 0 : process;
        logged_begin();
        while (children.retired[0].process > 0 || children.workers[0].process > 0)
            children_reap(&children);
        const char *text = logged_end();
        cr_expect_eq(strncmp(strchr(text, 'w'), is_former ? "worker of an earlier" : "worker (process", 15), 0, "%s",
                     text);
        cr_expect_not_null(strstr(text, cases[i / 2].told), "case %zu: %s", i / 2, text);
        cr_expect_eq(logged_count(text, "\n"), 1);
    }
}

/* If there is no place for one more, the oldest must end. */
Test(children, the_eldest_makes_room) {
    dismiss(retire(0, 0));
    pid_t process = fork();
    if (process == 0)
        for (;;)
            pause();
    for (size_t i = 0; i < RETIRED_MAX; i++) {
        children.retired[i].process = i == 7 ? process : INT_MAX;
        children.retired[i].started = i == 7 ? 5 : 6 + i;
        children.retired[i].shared = &shared;
    }
    shared.counters.answered = 4;
    children.answered = 1;
    cr_expect_eq(retired_slot(&children), &children.retired[7]);
    cr_expect_eq(children.retired[7].process, 0);
    cr_expect_eq(children.answered, 5);
    cr_expect_eq(kill(process, 0), -1);
    children.retired[3].process = 0;
    cr_expect_eq(retired_slot(&children), &children.retired[3], "the first that is free");
}

/* The rates that a worker counted are kept if it ended correctly. Otherwise they may be wrong, and are cleared. */
Test(children, what_becomes_of_the_memory) {
    for (int well = 0; well < 2; well++) {
        memset(&shared, 1, sizeof shared);
        clear_shared(&shared, well != 0);
        cr_expect_eq(shared.ready, 0);
        cr_expect_eq(shared.counters.answered, 0);
        cr_expect_eq(shared.used, well);
        cr_expect_eq(shared.quota.open, 0);
        cr_expect_eq(shared.quota.connections[9], 0);
        cr_expect_eq(shared.quota.spent != 0, well);
        cr_expect_eq(shared.quota.rates[1][9] != 0, well);
    }
}
