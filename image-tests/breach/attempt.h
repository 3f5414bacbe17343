/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The attempts of the breach drill: what an intruder inside a worker would try. They use only plain system calls (no
 * stdio, no heap), because the same objects are linked into a test build of the server and into a separate program.
 *
 * They aim only at decoys and listeners that the drill set up (image-tests/breach/decoys.c); struct surroundings says
 * where these are. If a call could change something else, the attempt makes it so that nothing changes (the clock's own
 * values, names of files that do not exist, a harmless signal), and judges by the result whether the kernel would have
 * allowed it.
 *
 * An attempt may end its process: with a forbidden system call (then it is contained), or by becoming another program,
 * which exits with ATTEMPT_RAN (then it has succeeded). So each attempt runs in a process of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ATTEMPT_CONTAINED 0
#define ATTEMPT_SUCCEEDED 1
#define ATTEMPT_ABSENT 2 /* the kernel lacks the feature, or the surroundings lack what the attempt needs */

#define ATTEMPT_RAN 101 /* exit status of a program that an attempt managed to run */

#define ATTEMPT_REASON_SIZE 160
#define SURROUNDINGS_KEY_FILES 6

/* Strings are NULL and numbers -1 if the file does not set them; attempts that need them are then absent. */
struct surroundings {
    const char *decoy_token; /* the contents of every decoy: an attempt has read one only if it returns this */

    const char *host_file;           /* a file of the host that everybody may read there */
    const char *host_folder;         /* a folder of the host in which an intruder would like to make files */
    const char *host_secret;         /* a file of the host that only root may read there */
    const char *other_service_state; /* a file in another service's state folder */
    const char *key_files[SURROUNDINGS_KEY_FILES]; /* key_file=, once for each path to a private key */
    const char *key_mark;                          /* 16 bytes of the private key as stored in memory
                                                      (for an EC key, of the scalar), each xor 0xff, in
                                                      hexadecimal */
    const char *image_folder;                      /* a folder of the image, which nobody may change */
    const char *content_folder;                    /* a folder of the content that is served */
    const char *readonly_mount;                    /* a mount point that is read-only */
    const char *mount_point;                       /* an empty folder */
    const char *program;                           /* a program in the image; called with an unknown argument, it
                                                      must exit with ATTEMPT_RAN, or only its start is noticed */
    const char *setid_program;                     /* a program with the set-user-id bit, of root */
    const char *disk_folder;                       /* a folder that a service can write to, if there is one */
    const char *terminal;                          /* another process's terminal */

    long tcp_loopback_port;         /* on 127.0.0.1 and ::1 */
    const char *tcp_public_address; /* an IPv4 address that looks public, inside the drill's own network namespace */
    long tcp_public_port;
    long udp_port;               /* on 127.0.0.1; sends the token back */
    long bind_port;              /* a port that is free */
    const char *abstract_socket; /* a name, without the leading zero byte; stream */
    const char *unix_socket;     /* a path; stream */
    const char *dbus_socket;     /* a path; stream */
    const char *journal_socket;  /* a path; datagrams */

    long victim_pid;        /* a process with the token in its arguments, environment and memory */
    long victim_address;    /* the address of the token in its memory */
    long victim_descriptor; /* its descriptor of an unnamed file that contains the token */
    long shared_memory;     /* keys of System V objects, see shmget(2), msgget(2), semget(2) */
    long message_queue;
    long semaphore;
    const char *posix_queue; /* see mq_open(3), without the slash */

    long keys_descriptor;       /* this worker's channel to the key process (server/protocol/signing.h) */
    const char *keys_socket;    /* for the program only: the path of a socket that gives such a channel */
    const char *own_key_name;   /* a key for which this channel may request signatures, in hexadecimal */
    const char *other_key_name; /* a key in the key process for which this channel may not request signatures */

    /* Things shared with other processes. The caller sets them; they are not in the file. */
    long listener;               /* a listening socket that others share; -1: none */
    int log;                     /* the descriptor of the log, which others share; usually STDERR_FILENO */
    char *others_counters;       /* memory in which another process counts */
    _Atomic uint64_t *own_beats; /* shows the supervisor that this process lives; NULL: nobody checks */

    long memory_limit;     /* MiB that the service may have */
    long task_limit;       /* processes and threads */
    long descriptor_limit; /* descriptors in one process */
    long cpu_limit;        /* percent of one processor */
    long disk_limit;       /* MiB in disk_folder */
    long signing_limit;    /* answers of the key process to one worker per second */
    long log_limit;        /* lines in 30 seconds */

    /* System calls that this kernel lacks, separated by commas, or "none": any other call that fails with ENOSYS was
     * blocked by a sandbox. Also lists "kcore" and other missing files of /proc. */
    const char *lacking;
};

struct attempt {
    const char *name;                                    /* family/what */
    const char *sentence;                                /* for readers: what the intruder tries */
    int (*try)(const struct surroundings *surroundings); /* returns ATTEMPT_...; leaves attempt_reason */
};

extern const struct attempt attempts[];
extern const size_t attempt_count;

/* Why the last attempt ended: "EPERM at mount", or what it reached. */
extern char attempt_reason[ATTEMPT_REASON_SIZE];

/*
 * Reads the surroundings from a file with lines "key=value", and lines that begin with #. The result is valid until the
 * process ends; there is room for one. Returns false, with the reason in attempt_reason, if the file cannot be read or
 * has an invalid line.
 */
bool surroundings_read(const char *path, struct surroundings *surroundings);
