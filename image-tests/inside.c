/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Takes the place of the program when vitrinectl runs one of its commands. Tests what an attacker could do with a page
 * that takes over `vitrine check`. Prints "contained" or "SUCCEEDED" for each attempt, and exits with status 42.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, bool succeeded) {
    printf("%s %s\n", succeeded ? "SUCCEEDED" : "contained", what);
}

static bool opens(const char *path, int flags) {
    int file = open(path, flags | O_CLOEXEC, 0600);
    if (file >= 0)
        close(file);
    return file >= 0;
}

static bool makes_socket(int family) {
    int end = socket(family, SOCK_STREAM, 0);
    if (end >= 0)
        close(end);
    return end >= 0;
}

static bool runs(const char *path) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execl(path, path, NULL);
        _exit(127);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 127;
}

/* Arguments: the page folder, a program in it. */
int main(void) {
    tell("being root", geteuid() == 0);
    tell("new privileges by a program", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1);
    tell("calls without a filter", prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2);
    tell("reading a file of the host", opens("/etc/shadow", O_RDONLY));
    tell("reading a private key", opens("/var/lib/private/vitrine/localhost.pem", O_RDONLY) ||
                                      opens("/var/lib/vitrine/localhost.pem", O_RDONLY));
    tell("writing a page", opens("/srv/gemini/owned", O_WRONLY | O_CREAT));
    tell("writing to /var/tmp", opens("/var/tmp/owned", O_WRONLY | O_CREAT));
    tell("writing to /dev/shm", opens("/dev/shm/owned", O_WRONLY | O_CREAT));
    tell("reaching the network", makes_socket(AF_INET) || makes_socket(AF_INET6));
    tell("speaking with the service manager", makes_socket(AF_UNIX));
    tell("running a program among the pages", runs("/srv/gemini/localhost/program"));
    tell("making memory that can be written and run",
         mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    tell("sending a signal to the host's init", kill(1, 0) == 0);
    return 42;
}
