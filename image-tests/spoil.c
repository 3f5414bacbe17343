/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Usage: spoil PROCESS DESCRIPTOR shutdown|block
 *
 * Damages a listening socket of another process in a way that this process's own sandbox forbids: shuts it down for
 * everybody who has it, or makes everybody wait who accepts connections from it. For tests of the recovery; runs as
 * root on a test host.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
    if (count != 4)
        return fputs("usage: spoil PROCESS DESCRIPTOR shutdown|block\n", stderr), 64;
    int process = (int)syscall(SYS_pidfd_open, atoi(arguments[1]), 0);
    int descriptor = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, atoi(arguments[2]), 0);
    if (descriptor < 0)
        return perror("spoil: the descriptor cannot be had"), 71;
    int result =
        strcmp(arguments[3], "block") == 0 ? fcntl(descriptor, F_SETFL, O_RDWR) : shutdown(descriptor, SHUT_RDWR);
    if (result < 0)
        return perror("spoil"), 71;
    return 0;
}
