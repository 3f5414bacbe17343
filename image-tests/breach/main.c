/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Usage: attempts --surroundings FILE [--only N] | attempts --list
 *
 * Runs the attempts as a separate program, in any sandbox. Each runs in a child process for at most five seconds. With
 * --only, attempt N (from 0) runs in this process, for sandboxes that allow no second one. Prints a line for each:
 * name, TAB, "contained", "succeeded" or "absent", TAB, reason. With --only, there is no line if the attempt ended the
 * process; then the exit status shows the result: SIGSYS or 159 means contained, 101 means succeeded.
 *
 * Built with -DFENCED, it is attempts-fenced: before each attempt, it enters the sandbox of the server's worker
 * (server/common/sandbox.h). This shows which attempts the program itself contains, without its unit.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "inside.h"
#include "without.h"

#define SECONDS 5

static void say(int descriptor, const char *text) {
    ssize_t written = write(descriptor, text, strlen(text));
    (void)written;
}

static void say_line(const struct attempt *attempt, int outcome, const char *reason) {
    static const char *const words[] = {"contained", "succeeded", "absent"};
    char line[512];
    const char *const parts[] = {attempt->name, "\t", words[outcome], "\t", reason, "\n"};
    size_t size = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        for (const char *from = parts[i]; *from && size < sizeof line; from++)
            line[size++] = *from;
    }
    ssize_t written = write(STDOUT_FILENO, line, size);
    (void)written;
}

/*
 * Sets up what a server without separate processes normally has: its private key in its own memory, a datagram socket
 * that it opened at its start, and a connection to the process that signs. If a sandbox denies one of these, it is
 * missing.
 */
static char own_key[4096];

static void take_in(struct surroundings *surroundings) {
    for (size_t i = 0; i < SURROUNDINGS_KEY_FILES && surroundings->key_files[i]; i++) {
        int file = open(surroundings->key_files[i], O_RDONLY | O_CLOEXEC);
        if (file < 0)
            continue;
        ssize_t got = read(file, own_key, sizeof own_key);
        close(file);
        if (got > 0)
            break;
    }
    int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    (void)datagrams; /* stays open, so that attempts can find it among the descriptors */
}

static void connect_keys(struct surroundings *surroundings) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!surroundings->keys_socket || surroundings->keys_descriptor >= 0 ||
        strlen(surroundings->keys_socket) >= sizeof address.sun_path)
        return;
    strcpy(address.sun_path, surroundings->keys_socket);
    int channel = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (channel >= 0 && connect(channel, (struct sockaddr *)&address, sizeof address) == 0)
        surroundings->keys_descriptor = channel;
    else if (channel >= 0)
        close(channel);
}

/*
 * Sets up what servers with several processes normally share: a listening socket, the log (one socket for the whole
 * service), and memory for counters. This is done for each attempt, because some attempts damage it.
 */
static void share(struct surroundings *surroundings) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), log[2];
    surroundings->listener = -1;
    if (listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 4) == 0)
        surroundings->listener = listener;
    /* The socket buffer has space for the lines of others/forge-log; nobody reads them. */
    surroundings->log = socketpair(AF_UNIX, SOCK_STREAM, 0, log) == 0 ? log[1] : STDERR_FILENO;
#ifdef FENCED
    dup2(surroundings->log, STDERR_FILENO); /* the sandbox allows writing nowhere else */
    surroundings->log = STDERR_FILENO;
#endif
    char *counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
#ifdef FENCED
    if (counters != MAP_FAILED)
        mprotect(counters, 4096, PROT_READ); /* read-only as in workers; their sandbox must keep it so */
#endif
    surroundings->others_counters = counters == MAP_FAILED ? NULL : counters;
    surroundings->own_beats = NULL;
}

/* Returns false if the sandbox cannot be entered. */
static bool enter_sandbox(const struct surroundings *surroundings) {
#ifdef FENCED
    int folder = surroundings->content_folder ? open(surroundings->content_folder, O_PATH | O_CLOEXEC) : -1;
    return enter_without(SANDBOX_WORKER, folder) == 0;
#else
    (void)surroundings;
    return true;
#endif
}

/* Waits for the child, and kills it if it takes too long. Returns its status, or -1 if it was killed. */
static int wait_for(pid_t child) {
    int status;
    uint64_t until = clock_milliseconds() + SECONDS * 1000;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (clock_milliseconds() > until) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return -1;
        }
        usleep(2000);
    }
    return status;
}

static int judge(int status, char *reason) {
    if (status == -1)
        strcpy(reason, "nothing came of it in five seconds");
    else if (WIFEXITED(status) && WEXITSTATUS(status) == ATTEMPT_RAN)
        return strcpy(reason, "the other program ran"), ATTEMPT_SUCCEEDED;
    else if (WIFEXITED(status) && WEXITSTATUS(status) <= ATTEMPT_ABSENT)
        return WEXITSTATUS(status);
    else if (WIFEXITED(status) && WEXITSTATUS(status) != SANDBOX_EXIT)
        strcpy(reason, joined("the process ended with status ", digits(WEXITSTATUS(status)), NULL, NULL));
    else if (WIFEXITED(status) || WTERMSIG(status) == SIGSYS)
        strcpy(reason, "a forbidden system call ended the process");
    else
        strcpy(reason, joined("the process was ended by signal ", digits(WTERMSIG(status)), NULL, NULL));
    return ATTEMPT_CONTAINED;
}

/* Runs one attempt in a child process and prints its line. Returns an exit status. */
static int run_one(struct surroundings *surroundings, size_t at) {
    static char *reason;
    if (!reason)
        reason = mmap(NULL, ATTEMPT_REASON_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reason == MAP_FAILED)
        return say(STDERR_FILENO, "attempts: no memory\n"), EX_OSERR;
    reason[0] = '\0';
    pid_t child = fork();
    if (child < 0)
        return say(STDERR_FILENO, "attempts: no child process can be made here; use --only N\n"), EX_OSERR;
    if (child == 0) {
        connect_keys(surroundings);
        share(surroundings);
        if (!enter_sandbox(surroundings))
            syscall(SYS_exit_group, EX_OSERR);
        int outcome = attempts[at].try(surroundings);
        memcpy(reason, attempt_reason, ATTEMPT_REASON_SIZE);
        syscall(SYS_exit_group, outcome);
    }
    int status = wait_for(child);
    say_line(&attempts[at], judge(status, reason), reason);
    return 0;
}

static int run_each(struct surroundings *surroundings) {
    int status = 0;
    for (size_t i = 0; i < attempt_count && status == 0; i++)
        status = run_one(surroundings, i);
    return status;
}

static int list(void) {
    for (size_t i = 0; i < attempt_count; i++) {
        say(STDOUT_FILENO, attempts[i].name);
        say(STDOUT_FILENO, "\t");
        say(STDOUT_FILENO, attempts[i].sentence);
        say(STDOUT_FILENO, "\n");
    }
    return 0;
}

static int run_only(struct surroundings *surroundings, const char *number) {
    char *end;
    unsigned long at = strtoul(number, &end, 10);
    if (!*number || *end || at >= attempt_count)
        return say(STDERR_FILENO, "attempts: --only takes a number below that of --list's lines\n"), EX_USAGE;
#ifdef FENCED
    return run_one(surroundings, at); /* a process in that sandbox cannot write a line */
#endif
    connect_keys(surroundings);
    share(surroundings);
    int outcome = attempts[at].try(surroundings);
    say_line(&attempts[at], outcome, attempt_reason);
    return 0;
}

int main(int count, char **arguments) {
    static struct surroundings surroundings;
    const char *file = NULL, *only = NULL;
    /* This is the program that attempts try to start. */
    if (count >= 2 && !strcmp(arguments[1], "--ran"))
        return ATTEMPT_RAN;
    if (count >= 2 && !strcmp(arguments[1], "--ran-as-root"))
        return geteuid() == 0 ? ATTEMPT_RAN : EX_NOPERM;
    if (count == 2 && !strcmp(arguments[1], "--list"))
        return list();
    for (int i = 1; i + 1 < count; i += 2) {
        if (!strcmp(arguments[i], "--surroundings"))
            file = arguments[i + 1];
        else if (!strcmp(arguments[i], "--only"))
            only = arguments[i + 1];
    }
    if (!file || count != (only ? 5 : 3))
        return say(STDERR_FILENO, "usage: attempts --surroundings FILE [--only N] | attempts --list\n"), EX_USAGE;
    if (!surroundings_read(file, &surroundings)) {
        say(STDERR_FILENO, joined("attempts: ", file, ": ", attempt_reason));
        say(STDERR_FILENO, "\n");
        return EX_DATAERR;
    }
    take_in(&surroundings);
    return only ? run_only(&surroundings, only) : run_each(&surroundings);
}
