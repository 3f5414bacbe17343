/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each process of the running server can no longer do, and that workers cannot damage what they share. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/server.h"

static struct server server;
static pid_t workers[WORKERS_MAX];
static size_t worker_count;

static void prepare(void) {
    server_prepare(&server);
}

static void end(void) {
    server_end(&server);
}

TestSuite(contained, .init = prepare, .fini = end, .timeout = 120);

static void find_workers(void) {
    worker_count = server_workers(&server, workers);
    cr_assert_gt(worker_count, 0);
}

static void start(void) {
    server_start(&server);
    find_workers();
}

/* ---- given-up privileges ---- */

/* Returns the value after `key` in /proc/PID/status, valid until the next call. */
static const char *status_of(pid_t process, const char *key) {
    static char line[256];
    snprintf(line, sizeof line, "/proc/%d/status", (int)process);
    FILE *file = fopen(line, "r");
    cr_assert_not_null(file, "%s", line);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            fclose(file);
            line[strcspn(line, "\n")] = '\0';
            return line + strlen(key) + strspn(line + strlen(key), "\t ");
        }
    }
    fclose(file);
    cr_assert_fail("there is no %s", key);
    return "";
}

static void expect_in_sandbox(pid_t process, const char *who) {
    cr_expect_str_eq(status_of(process, "Seccomp:"), "2", "%s", who);
    cr_expect_str_eq(status_of(process, "NoNewPrivs:"), "1", "%s", who);
}

Test(contained, every_process_is_in_its_sandbox) {
    start();
    pid_t keys = server_keys(&server);
    cr_assert_gt(keys, 0);
    expect_in_sandbox(server.process, "supervisor");
    expect_in_sandbox(keys, "key process");
    int first = atoi(status_of(server.process, "Seccomp_filters:"));
    /* Each process has one filter more than its parent; the machine may have added some before. */
    cr_expect_eq(atoi(status_of(keys, "Seccomp_filters:")), first + 1);
    for (size_t i = 0; i < worker_count; i++) {
        expect_in_sandbox(workers[i], "worker");
        cr_expect_eq(atoi(status_of(workers[i], "Seccomp_filters:")), first + 1);
    }
}

Test(contained, workers_have_no_rights_of_user_or_group) {
    if (geteuid() != 0)
        cr_skip_test("only root has any to give up");
    start();
    for (size_t i = 0; i < worker_count; i++) {
        cr_expect_str_eq(status_of(workers[i], "Uid:"), "65534\t65534\t65534\t65534");
        cr_expect_str_eq(status_of(workers[i], "Gid:"), "65534\t65534\t65534\t65534");
        cr_expect_str_eq(status_of(workers[i], "Groups:"), "");
        cr_expect_str_eq(status_of(workers[i], "CapEff:"), "0000000000000000");
        cr_expect_str_eq(status_of(workers[i], "CapPrm:"), "0000000000000000");
    }
}

/* A folder that others can read but not enter, or enter but not read, counts as closed to them. */
Test(contained, workers_stay_root_where_the_content_is_closed) {
    static const mode_t modes[] = {0704, 0701, 0700};
    char path[128];
    if (geteuid() != 0)
        cr_skip_test("only root can stay root");
    snprintf(path, sizeof path, "%s/content", server.folder);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        cr_assert_eq(chmod(path, modes[i]), 0);
        start();
        for (size_t j = 0; j < worker_count; j++)
            cr_expect_str_eq(status_of(workers[j], "Uid:"), "0\t0\t0\t0", "mode %o", modes[i]);
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
        cr_expect(server_logged(&server, "is not readable by everyone, so workers must run as root"));
        cr_assert_eq(server_stop(&server, SIGTERM), 0);
    }
}

/* ---- shared objects ---- */

struct held {
    size_t listeners, channels, folders, pipes, events, signals, others;
    char pipe[256]; /* the last pipe found */
};

static void count_descriptor(struct held *held, pid_t process, const char *number, const char *target) {
    char path[320];
    snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)process, number);
    if (strncmp(target, "pipe:", 5) == 0) {
        held->pipes++;
        cr_expect(held->pipe[0] == '\0' || strcmp(held->pipe, target) == 0, "two pipes");
        snprintf(held->pipe, sizeof held->pipe, "%s", target);
    } else if (strcmp(target, "anon_inode:[eventpoll]") == 0) {
        held->events++;
    } else if (strcmp(target, "anon_inode:[signalfd]") == 0) {
        held->signals++;
    } else if (strncmp(target, "socket:", 7) == 0) {
        char tables[64], inode[32], line[512];
        snprintf(inode, sizeof inode, "%.*s", (int)strcspn(target + 8, "]"), target + 8);
        snprintf(tables, sizeof tables, "/proc/%d/net/tcp", (int)process);
        FILE *table = fopen(tables, "r");
        bool internet = false;
        while (table && fgets(line, sizeof line, table))
            internet |= strstr(line, inode) != NULL;
        if (table)
            fclose(table);
        held->listeners += internet;
        held->channels += !internet;
    } else if (strcmp(strrchr(target, '/') ? strrchr(target, '/') : "", "/content") == 0) {
        held->folders++;
    } else {
        held->others++;
        cr_log_error("descriptor %s is %s", number, target);
    }
}

static struct held descriptors_of(pid_t process) {
    struct held held = {0};
    char path[64], target[256];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *folder = opendir(path);
    cr_assert_not_null(folder, "%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder));) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        if (entry->d_name[0] == '.' || length < 0)
            continue;
        target[length] = '\0';
        count_descriptor(&held, process, entry->d_name, target);
    }
    closedir(folder);
    return held;
}

/* With another worker's channel, a worker could read its signatures; with another pipe, write its log lines. */
Test(contained, a_worker_holds_what_it_needs_and_no_more) {
    if (geteuid() != 0)
        cr_skip_test("only root may look");
    start();
    kill(server.process, SIGHUP); /* workers of a later generation start while others exist */
    cr_assert_not_null(server_told(&server, "READY=1", 10000));
    find_workers();
    char pipes[WORKERS_MAX][256];
    for (size_t i = 0; i < worker_count; i++) {
        struct held held = descriptors_of(workers[i]);
        cr_expect_eq(held.pipes, 3, "%zu", held.pipes); /* its three standard descriptors */
        cr_expect_eq(held.listeners, 1, "%zu", held.listeners);
        cr_expect_eq(held.channels, 1, "%zu", held.channels);
        cr_expect_eq(held.folders, 1, "%zu", held.folders);
        cr_expect_eq(held.events, 1);
        cr_expect_geq(held.signals, 1); /* copies fill the low numbers, so that connections do not get them */
        cr_expect_eq(held.others, 0);
        memcpy(pipes[i], held.pipe, sizeof pipes[i]);
        for (size_t j = 0; j < i; j++)
            cr_expect_str_neq(pipes[i], pipes[j]);
    }
}

Test(contained, a_worker_can_write_what_it_counts_itself_and_no_more) {
    char line[512];
    if (geteuid() != 0)
        cr_skip_test("only root may look");
    start();
    unsigned long own[WORKERS_MAX] = {0};
    for (size_t i = 0; i < worker_count; i++) {
        size_t writable = 0, readable = 0;
        snprintf(line, sizeof line, "/proc/%d/maps", (int)workers[i]);
        FILE *maps = fopen(line, "r");
        cr_assert_not_null(maps);
        while (fgets(line, sizeof line, maps)) {
            unsigned long from, to;
            char rights[8];
            if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[3] != 's')
                continue;
            writable += rights[1] == 'w';
            readable += rights[1] != 'w';
            if (rights[1] == 'w')
                own[i] = from;
        }
        fclose(maps);
        cr_expect_eq(writable, 1, "%zu shared areas are writable", writable);
        cr_expect_geq(readable, 1);
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(own[i], own[j], "two have the same");
    }
}

/* ---- the log ---- */

/* Opens the worker's end of its pipe, as an intruder in the worker could. */
static int open_pipe(pid_t worker) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/2", (int)worker);
    int pipe = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    cr_assert_geq(pipe, 0, "%s: %s", path, strerror(errno));
    return pipe;
}

static void say(int pipe, const char *text) {
    cr_assert_eq(write(pipe, text, strlen(text)), (ssize_t)strlen(text));
}

Test(contained, a_worker_cannot_pass_for_another) {
    char expected[128];
    if (geteuid() != 0)
        cr_skip_test("only root may play a worker");
    start();
    int pipe = open_pipe(workers[0]);
    say(pipe, "<0>stopped\n");
    say(pipe, "\x1b[2J\x07 and \xc2\x9b"
              "31m\n");
    say(pipe, "no end of a line");
    usleep(100000);
    say(pipe, "\nworker 1: request status=20\n");
    snprintf(expected, sizeof expected, "\nworker %d: stopped\n", (int)workers[0]);
    cr_expect(server_logged(&server, expected));
    snprintf(expected, sizeof expected, "\nworker %d: ?[2J? and ??31m\n", (int)workers[0]);
    cr_expect(server_logged(&server, expected));
    snprintf(expected, sizeof expected, "\nworker %d: worker 1: request status=20\n", (int)workers[0]);
    cr_expect(server_logged(&server, expected));
    char *log = server_log(&server);
    cr_expect_null(strstr(log, "<0>"));
    cr_expect_null(strchr(log, '\x1b'));
    free(log);
    close(pipe);
}

/* While one worker floods the log, others are served and logged. */
Test(contained, a_worker_that_floods_the_log_stops_nobody) {
    if (geteuid() != 0)
        cr_skip_test("only root may play a worker");
    start();
    int pipe = open_pipe(workers[0]);
    char line[4096];
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 2000; i++)
        (void)!write(pipe, line, sizeof line);
    /* Requests that this worker serves meanwhile find its pipe full, and are not logged. */
    bool is_logged = false;
    uint64_t give_up = gemini_now() + 30000;
    while (!is_logged && gemini_now() < give_up) {
        expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
        usleep(200000);
        char *log = server_log(&server);
        is_logged = strstr(log, "path=\"/\"") != NULL;
        free(log);
    }
    cr_expect(is_logged);
    close(pipe);
}

/* ---- generations ---- */

/* A worker that was told to leave stays: it does not even read its signals. */
Test(contained, a_worker_that_does_not_leave_is_ended) {
    start();
    pid_t stays = workers[0];
    kill(stays, SIGSTOP);
    server_forget_told(&server);
    kill(server.process, SIGHUP);
    cr_assert_not_null(server_told(&server, "READY=1", 20000));
    uint64_t give_up = gemini_now() + 40000;
    while (kill(stays, 0) == 0 && gemini_now() < give_up)
        usleep(50000);
    cr_expect_neq(kill(stays, 0), 0, "it is still there");
    cr_expect(server_logged(&server, "did not release the port; killed"));
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

/* ---- rarely used system calls ---- */

/* If a waiting process is stopped and continued, the kernel resumes the wait with another system call. */
Test(contained, a_supervisor_that_was_stopped_goes_on) {
    start();
    pid_t keys = server_keys(&server);
    kill(keys, SIGSTOP);
    server_forget_told(&server);
    kill(server.process, SIGHUP);
    cr_assert_not_null(server_told(&server, "RELOADING=1", 10000));
    usleep(200000); /* by now it waits for the key process */
    kill(server.process, SIGSTOP);
    usleep(100000);
    kill(server.process, SIGCONT);
    usleep(100000);
    kill(keys, SIGCONT);
    cr_expect_not_null(server_told(&server, "READY=1", 15000));
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
}

/* An identity that root makes in another user's folder belongs to that user. */
Test(contained, identities_belong_to_whom_their_folder_does) {
    char path[128];
    struct stat about;
    if (geteuid() != 0)
        cr_skip_test("only root may give files away");
    snprintf(path, sizeof path, "%s/state", server.folder);
    cr_assert_eq(chown(path, 1234, 1235), 0);
    server_start(&server);
    snprintf(path, sizeof path, "%s/state/localhost.pem", server.folder);
    cr_assert_eq(stat(path, &about), 0);
    cr_expect(about.st_uid == 1234 && about.st_gid == 1235);
}

/* ---- listeners ---- */

static void open_listener(void) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(server.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    server.handed_over = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(server.handed_over, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(server.handed_over, 64), 0);
}

Test(contained, a_listener_that_was_made_to_block_is_mended) {
    open_listener();
    start();
    cr_assert(fcntl(server.handed_over, F_GETFL) & O_NONBLOCK);
    cr_assert_eq(fcntl(server.handed_over, F_SETFL, O_RDWR), 0);
    struct gemini_way way = way_to(&server);
    for (size_t i = 0; i <= worker_count; i++) /* each of these makes one more worker wait */
        gemini_end(gemini_connect(&way));
    cr_expect(server_logged(&server, "had been set to blocking mode; corrected"));
    cr_expect(fcntl(server.handed_over, F_GETFL) & O_NONBLOCK);
    expect_page(&server, "gemini://localhost:PORT/", "# Start\n");
    cr_expect(fcntl(server.handed_over, F_GETFL) & O_NONBLOCK);
    close(server.handed_over);
}

Test(contained, when_a_listener_is_dead_the_service_ends_soon) {
    open_listener();
    start();
    struct gemini_way way = way_to(&server);
    struct gemini_client *silent = gemini_connect(&way);
    cr_assert_not_null(silent);
    shutdown(server.handed_over, SHUT_RDWR);
    cr_expect(server_logged(&server, "the listening socket of port"));
    uint64_t began = gemini_now();
    int result = -1000;
    siginfo_t ended = {0};
    while (gemini_now() - began < 20000 && ended.si_pid == 0) {
        waitid(P_PID, (id_t)server.process, &ended, WEXITED | WNOHANG | WNOWAIT);
        usleep(10000);
    }
    result = ended.si_pid == server.process && ended.si_code == CLD_EXITED ? ended.si_status : -1;
    cr_expect_eq(result, 69, "%d", result);
    if (result == 69) {
        waitid(P_PID, (id_t)server.process, &ended, WEXITED);
        server.process = 0;
    }
    gemini_end(silent);
    close(server.handed_over);
}
