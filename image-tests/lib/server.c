/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_WITHIN 60000 /* milliseconds; long, because machines may be busy */
#define STOP_WITHIN 60000
#define LOGGED_WITHIN 30000

const char *server_program(void) {
    const char *path = getenv("VITRINE");
    return path ? path : "build/vitrine";
}

static void nap(unsigned milliseconds) {
    usleep(milliseconds * 1000);
}

/* ---- folder ---- */

static void put(const char *path, const void *bytes, size_t size) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(folder, 0755);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s: %s", path, strerror(errno));
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

void server_put(const struct server *server, const char *path, const void *bytes, size_t size) {
    char whole[4096];
    snprintf(whole, sizeof whole, "%s/content/%s", server->folder, path);
    put(whole, bytes, size);
}

void server_put_text(const struct server *server, const char *path, const char *text) {
    server_put(server, path, text, strlen(text));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

uint16_t free_port(void) {
    for (int attempt = 0; attempt < 50; attempt++) {
        struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
        socklen_t size = sizeof address;
        int descriptor = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0); /* both address families */
        bool bound = bind(descriptor, (struct sockaddr *)&address, size) == 0 &&
                     getsockname(descriptor, (struct sockaddr *)&address, &size) == 0;
        close(descriptor);
        if (bound)
            return ntohs(address.sin6_port);
    }
    cr_assert_fail("no port is free");
    return 0;
}

void server_prepare(struct server *server) {
    memset(server, 0, sizeof *server);
    snprintf(server->folder, sizeof server->folder, "/tmp/vitrine-test-XXXXXX");
    cr_assert_not_null(mkdtemp(server->folder));
    char path[128];
    snprintf(path, sizeof path, "%s/state", server->folder);
    cr_assert_eq(mkdir(path, 0700), 0);
    server_put_text(server, "localhost/index.gmi", "# Start\n");
    server->port = free_port();
    server->notified = -1;
}

/* ---- process ---- */

static void open_notified(struct server *server) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (server->notified >= 0)
        close(server->notified);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", server->folder);
    unlink(address.sun_path);
    server->notified = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(server->notified, (struct sockaddr *)&address, sizeof address), 0);
}

static void set_number(const char *name, unsigned long number) {
    char text[32];
    snprintf(text, sizeof text, "%lu", number);
    setenv(name, text, 1);
}

static void write_output_to(const char *folder) {
    char path[128];
    snprintf(path, sizeof path, "%s/log", folder);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
}

static void collect_arguments(const struct server *server, const char **arguments) {
    static char address[64], proxied[64], content[128], state[128];
    size_t count = 0;
    snprintf(address, sizeof address, "127.0.0.1:%u", server->port);
    snprintf(content, sizeof content, "%s/content", server->folder);
    snprintf(state, sizeof state, "%s/state", server->folder);
    arguments[count++] = server_program();
    arguments[count++] = "serve";
    arguments[count++] = "--content";
    arguments[count++] = content;
    arguments[count++] = "--state";
    arguments[count++] = state;
    if (!server->arguments[0] && !server->handed_over) {
        arguments[count++] = "--listen";
        arguments[count++] = address;
    }
    if (server->proxied_port > 0) {
        snprintf(proxied, sizeof proxied, "127.0.0.1:%u", server->proxied_port);
        arguments[count++] = "--listen";
        arguments[count++] = proxied;
    }
    if (server->settings[0]) {
        arguments[count++] = "--settings";
        arguments[count++] = server->settings;
    }
    for (size_t i = 0; i < SERVER_ARGUMENTS_MAX && server->arguments[i]; i++)
        arguments[count++] = server->arguments[i];
    arguments[count] = NULL;
}

/* Turns the child process into the server. */
static void become_server(const struct server *server) {
    const char *arguments[SERVER_ARGUMENTS_MAX + 13];
    char notify[128];
    write_output_to(server->folder);
    snprintf(notify, sizeof notify, "%s/notify", server->folder);
    setenv("NOTIFY_SOCKET", notify, 1);
    unsetenv("STATE_DIRECTORY");
    if (server->watchdog > 0) {
        set_number("WATCHDOG_USEC", server->watchdog);
        set_number("WATCHDOG_PID", (unsigned long)getpid());
    }
    if (server->descriptors > 0)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){server->descriptors, server->descriptors});
    collect_arguments(server, arguments);
    if (server->handed_over) {
        int kept = fcntl(server->handed_over, F_DUPFD, 10);
        dup2(kept, 3); /* sd_listen_fds(3): the first one is descriptor 3 */
        close(kept);
        set_number("LISTEN_FDS", 1);
        set_number("LISTEN_PID", (unsigned long)getpid());
    }
    close_range(server->handed_over ? 4 : 3, ~0u, 0); /* a service manager would not pass on the test's descriptors */
    execv(arguments[0], (char **)(uintptr_t)arguments);
    perror(arguments[0]);
    _exit(127);
}

void server_launch(struct server *server) {
    open_notified(server);
    pid_t parent = getpid();
    /* The namespace applies only to children of the calling process. */
    if (server->as_init && unshare(CLONE_NEWPID) != 0) {
        if (errno == EPERM)
            cr_skip_test("this machine forbids namespaces");
        cr_assert_fail("a PID namespace: %s", strerror(errno));
    }
    server->process = fork();
    if (server->process == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        /* The server must end with the test. Only SIGKILL is certain to reach an init. */
        prctl(PR_SET_PDEATHSIG, server->as_init ? SIGKILL : SIGTERM);
        if (!server->as_init && getppid() != parent)
            _exit(126);
        become_server(server);
    }
    cr_assert_gt(server->process, 0);
}

static void put_settings(struct server *server, const char *first, const char *format, va_list arguments) {
    snprintf(server->settings, sizeof server->settings, "%s/vitrine.conf", server->folder);
    FILE *file = fopen(server->settings, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(first, file), 0);
    cr_assert_geq(vfprintf(file, format, arguments), 0);
    cr_assert_eq(fclose(file), 0);
}

void server_put_settings(struct server *server, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    put_settings(server, "", format, arguments);
    va_end(arguments);
}

void server_put_settings_proxied(struct server *server, const char *format, ...) {
    char first[64];
    va_list arguments;
    server->proxied_port = free_port();
    snprintf(first, sizeof first, "proxy-ports = %u\nadvertised-ports = %u\n", server->proxied_port, server->port);
    va_start(arguments, format);
    put_settings(server, first, format, arguments);
    va_end(arguments);
}

void server_start(struct server *server) {
    server_launch(server);
    if (!server_told(server, "READY=1", START_WITHIN)) {
        char *log = server_log(server);
        cr_assert_fail("the server did not say READY=1; it wrote: %s", log);
    }
}

void server_begin(struct server *server) {
    server_prepare(server);
    server_start(server);
}

/* Waits for a child. Returns the same as server_stop, or -1000 if it did not end in time (then it is killed). */
static int wait_for_end(pid_t process, unsigned patience) {
    uint64_t deadline = gemini_now() + patience;
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(process, &status, WNOHANG)) == 0 && gemini_now() < deadline)
        nap(2);
    if (ended == 0) {
        kill(process, SIGKILL);
        waitpid(process, &status, 0);
        return -1000;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool is_listening(uint16_t port) {
    const struct gemini_way way = {.port = port};
    struct gemini_client *client = gemini_connect(&way);
    gemini_end(client);
    return client != NULL;
}

int server_stop(struct server *server, int signal) {
    cr_assert_gt(server->process, 0);
    kill(server->process, signal);
    int result = wait_for_end(server->process, STOP_WITHIN);
    server->process = 0;
    uint64_t deadline = gemini_now() + STOP_WITHIN;
    while (signal == SIGKILL && is_listening(server->port) && gemini_now() < deadline)
        nap(2);
    return result;
}

void server_end(struct server *server) {
    if (server->process > 0)
        cr_expect_eq(server_stop(server, SIGTERM), 0, "the server did not stop well");
    if (server->notified >= 0)
        close(server->notified);
    if (server->folder[0])
        nftw(server->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int run_program(char *output, size_t size, const char *const *arguments) {
    const char *all[SERVER_ARGUMENTS_MAX] = {server_program()};
    int ends[2];
    size_t length = 0;
    for (size_t i = 0; arguments[i]; i++)
        all[i + 1] = arguments[i];
    cr_assert_eq(pipe(ends), 0);
    pid_t process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(all[0], (char **)(uintptr_t)all);
        _exit(127);
    }
    close(ends[1]);
    struct pollfd watched = {.fd = ends[0], .events = POLLIN};
    while (length + 1 < size && poll(&watched, 1, 10000) > 0) {
        ssize_t got = read(ends[0], output + length, size - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    output[length] = '\0';
    close(ends[0]);
    return wait_for_end(process, 1000);
}

/* ---- reports of the server ---- */

char *server_log(const struct server *server) {
    char path[128], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/log", server->folder);
    FILE *file = fopen(path, "r");
    if (!file || getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = strdup("");
    }
    if (file)
        fclose(file);
    return text;
}

bool server_logged(const struct server *server, const char *text) {
    uint64_t deadline = gemini_now() + LOGGED_WITHIN;
    for (;;) {
        char *log = server_log(server);
        bool found = strstr(log, text) != NULL;
        free(log);
        if (found || gemini_now() > deadline)
            return found;
        nap(5);
    }
}

const char *server_told(struct server *server, const char *text, unsigned patience) {
    static char message[4096];
    uint64_t deadline = gemini_now() + patience;
    while (gemini_now() < deadline) {
        struct pollfd watched = {.fd = server->notified, .events = POLLIN};
        if (poll(&watched, 1, 50) > 0) {
            ssize_t size = recv(server->notified, message, sizeof message - 1, 0);
            message[size < 0 ? 0 : size] = '\0';
            if (strstr(message, text))
                return message;
        } else if (server->process > 0) {
            siginfo_t ended = {0};
            waitid(P_PID, (id_t)server->process, &ended, WEXITED | WNOHANG | WNOWAIT);
            if (ended.si_pid != 0)
                return NULL;
        }
    }
    return NULL;
}

const char *server_reload(struct server *server) {
    kill(server->process, SIGHUP);
    cr_assert_not_null(server_told(server, "RELOADING=1\nMONOTONIC_USEC=", 10000));
    const char *answer = server_told(server, "READY=1", 10000);
    cr_assert_not_null(answer);
    return answer;
}

void server_forget_told(const struct server *server) {
    char message[4096];
    while (recv(server->notified, message, sizeof message, MSG_DONTWAIT) >= 0)
        ;
}

struct process_state {
    char name[32];
    char state;
    long parent;
    unsigned long user, system;
};

static bool read_state(pid_t process, struct process_state *state) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "r");
    bool read = file && fgets(line, sizeof line, file);
    if (file)
        fclose(file);
    /* The name is in parentheses and may contain any characters. */
    char *name = read ? strchr(line, '(') : NULL, *end = read ? strrchr(line, ')') : NULL;
    if (!name || !end)
        return false;
    *end = '\0';
    snprintf(state->name, sizeof state->name, "%s", name + 1);
    return sscanf(end + 1, " %c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &state->state, &state->parent,
                  &state->user, &state->system) == 4;
}

static size_t find_children(const struct server *server, const char *name, pid_t *children, size_t most) {
    DIR *processes = opendir("/proc");
    size_t count = 0;
    struct dirent *entry;
    cr_assert_not_null(processes);
    while ((entry = readdir(processes)) && count < most) {
        struct process_state state;
        pid_t process = (pid_t)atoi(entry->d_name);
        if (process > 0 && read_state(process, &state) && state.parent == server->process && state.state != 'Z' &&
            strcmp(state.name, name) == 0)
            children[count++] = process;
    }
    closedir(processes);
    return count;
}

size_t server_workers_if_any(const struct server *server, pid_t workers[static WORKERS_MAX]) {
    return find_children(server, "vitrine-worker", workers, WORKERS_MAX);
}

size_t server_workers(const struct server *server, pid_t workers[static WORKERS_MAX]) {
    size_t count = server_workers_if_any(server, workers);
    cr_assert_gt(count, 0, "there is no worker");
    return count;
}

pid_t server_keys(const struct server *server) {
    pid_t keys;
    return find_children(server, "vitrine-keys", &keys, 1) == 1 ? keys : 0;
}

uint64_t processor_time(pid_t process) {
    struct process_state state;
    cr_assert(read_state(process, &state), "there is no process %d", (int)process);
    return (uint64_t)(state.user + state.system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Reads a value in kB from smaps_rollup: proc_pid_smaps_rollup(5). */
static size_t memory_figure(pid_t process, const char *name) {
    char path[64], line[256];
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
    FILE *file = fopen(path, "r");
    while (file && size == 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0)
            size = strtoul(line + strlen(name), NULL, 10);
    }
    if (file)
        fclose(file);
    if (size == 0 && geteuid() != 0) /* a test without the privilege to read it sees 0 */
        cr_skip_test("only root can see how much memory the server has");
    cr_assert_gt(size, 0, "the memory of process %d cannot be seen", (int)process);
    return size;
}

size_t process_memory(pid_t process) {
    return memory_figure(process, "Pss:");
}

size_t process_private_memory(pid_t process) {
    return memory_figure(process, "Private_Dirty:");
}

size_t promised(const char *id) {
    char command[128], number[32] = "";
    snprintf(command, sizeof command, "tools/promised %s", id);
    FILE *output = popen(command, "r");
    cr_assert(output && fgets(number, sizeof number, output), "docs/SPECIFICATION.md does not promise %s", id);
    cr_assert_eq(pclose(output), 0);
    return strtoul(number, NULL, 10);
}
