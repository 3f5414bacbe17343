/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The first process of a machine that image-tests/check-boot or image-tests/check-units emulates. It prints what the
 * processor supports, and loads the modules that it finds, in alphabetical order. Its arguments say what it does then:
 *
 *   serve ADDRESS:PORT: sets up the network, mounts the image on the disk, and becomes the image's init, the server.
 *
 *   run PROGRAM ARGUMENT...: mounts the file system on the disk, runs a program in its folder /run, prints the exit
 *   status, and turns the machine off. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(bool done, const char *what) {
    if (done)
        return;
    printf("first: %s: %s\n", what, strerror(errno));
    /* If process 1 exits, the kernel stops the machine. */
    exit(1);
}

static void mount_on(const char *source, const char *target, const char *type, unsigned long flags,
                     const char *options) {
    mkdir(target, 0755); /* may exist already */
    must(mount(source, target, type, flags, options) == 0, target);
}

static void load_modules(void) {
    glob_t found;
    must(glob("/modules/*", 0, NULL, &found) == 0, "/modules");
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int file = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
        must(file >= 0 && syscall(SYS_finit_module, file, "", 0) == 0, found.gl_pathv[i]);
        close(file);
    }
    globfree(&found);
}

static struct sockaddr inet(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct sockaddr general;
    must(inet_pton(AF_INET, text, &address.sin_addr) == 1, text);
    memcpy(&general, &address, sizeof general);
    return general;
}

static void set_up_network(const char *card, const char *address) {
    int end = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    strncpy(request.ifr_name, card, sizeof request.ifr_name - 1);
    request.ifr_addr = inet(address);
    must(ioctl(end, SIOCSIFADDR, &request) == 0, "the address of the network card");
    request.ifr_netmask = inet("255.255.255.0");
    must(ioctl(end, SIOCSIFNETMASK, &request) == 0, "the netmask of the network card");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    must(ioctl(end, SIOCSIFFLAGS, &request) == 0, "the network card");
    close(end);
}

static void tell_processor(void) {
    const unsigned long has = getauxval(AT_HWCAP);
    printf("first: pages of %ld bytes; instructions for AES: %s, PMULL: %s, SHA-256: %s\n", sysconf(_SC_PAGESIZE),
           has & HWCAP_AES ? "yes" : "no", has & HWCAP_PMULL ? "yes" : "no", has & HWCAP_SHA2 ? "yes" : "no");
}

static void enter_root(const char *disk) {
    mount_on("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    klogctl(8, NULL, 7); /* shows everything that the kernel says about the file system, including mere notices */
    mount_on(disk, "/root", "erofs", MS_RDONLY, NULL);
    mount_on("devtmpfs", "/root/dev", "devtmpfs", 0, NULL);
    mount_on("proc", "/root/proc", "proc", 0, NULL);
    mount_on("sysfs", "/root/sys", "sysfs", 0, NULL);
    must(chdir("/root") == 0 && mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0, "the root of the disk");
}

static void serve(char *listen) {
    char *address = strndup(listen, strcspn(listen, ":"));
    set_up_network("eth0", address);
    enter_root("/dev/vda1");
    mount_on("tmpfs", "/var/lib/vitrine", "tmpfs", 0, "mode=0700");
    execl("/usr/lib/systemd/systemd", "init", "serve", "--listen", listen, NULL);
    must(false, "the image's init");
}

/* These names in /dev are not made by the kernel. */
static void name_streams(void) {
    must(symlink("/proc/self/fd", "/dev/fd") == 0 && symlink("fd/0", "/dev/stdin") == 0 &&
             symlink("fd/1", "/dev/stdout") == 0 && symlink("fd/2", "/dev/stderr") == 0,
         "the names of the standard streams");
}

static void run(char **command) {
    set_up_network("lo", "127.0.0.1");
    enter_root("/dev/vda");
    name_streams();
    mount_on("tmpfs", "/tmp", "tmpfs", 0, "mode=1777");
    mount_on("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777");
    setenv("PATH", "/usr/sbin:/usr/bin", 1);
    must(chdir("/run") == 0, "/run");
    pid_t child = fork();
    if (child == 0) {
        setsid();
        execv(command[0], command);
        must(false, command[0]);
    }
    int status = 0;
    for (pid_t ended; (ended = wait(&status)) != child;)
        must(ended > 0, "the program"); /* other children are orphans */
    printf("first: status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    reboot(RB_POWER_OFF);
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IONBF, 0);
    must(count >= 3, "two arguments");
    tell_processor();
    load_modules();
    if (strcmp(arguments[1], "serve") == 0)
        serve(arguments[2]);
    else
        run(arguments + 2);
}
