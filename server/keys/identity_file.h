/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * One identity that the key process holds, with the file it came from: a made one out of the state folder (HOST.pem),
 * or a given one out of the credentials (identity.HOST.pem, and identity.HOST.key where the key has a file of its own).
 */

#include <stdbool.h>
#include <sys/stat.h>

#include "identity.h"

#define IDENTITY_FILE_NAME_MAX 255
/* The present one, and as many as retired workers can be of (children.h), each of another; some are of reloads that
 * failed. */
#define IDENTITY_FILE_GENERATIONS 160

struct identity_file {
    char file[IDENTITY_FILE_NAME_MAX + 1];
    char host[CERTIFICATE_HOST_MAX + 1]; /* whose it is, going by the file's name; in the one spelling (hostname.h) */
    bool given;
    bool used;   /* a capsule has it */
    bool former; /* another has taken its place; it only signs for workers that serve it still */
    uint64_t generations[IDENTITY_FILE_GENERATIONS]; /* of workers that serve it, the latest first; 0: no more */
    const char *problem;            /* why it cannot be used: a sentence without its end; NULL: it can be */
    struct identity identity;       /* without a key when there is a problem */
    struct certificate_facts facts; /* empty when the certificate cannot be read */
    unsigned warned;                /* the stage (certificate.h) that the log has told of */
    bool told;                      /* the log has told of its problem, or of what else is odd */
    struct stat about;              /* of the file when it was read */
    struct stat about_key;          /* of the key's file, where it has one; else all zero */
};

/*
 * Takes the host, in the one spelling (hostname.h), out of a file's name: HOST.pem, with given identity.HOST.pem or
 * identity_HOST.pem. The names of credentials hold no colon, so in given ones dashes may stand for those of an IPv6
 * address: identity.2001-db8--1.pem. Returns false when it is no such name. Pure.
 */
bool identity_file_host_of(const char *file, bool given, char host[static CERTIFICATE_HOST_MAX + 1]);

/* Writes the name under which an identity is given for a host: identity.HOST.pem, as identity_file_host_of reads it.
 * Pure. */
void identity_file_credential(const char *host, char file[static IDENTITY_FILE_NAME_MAX + 1]);

/*
 * The file of a host in the state folder: HOST and the ending. Versions before this one named it as the capsule's
 * folder was named; where it is there only in letters beyond ASCII, it is that one. folder: a descriptor; host: in the
 * one spelling; ending: .pem or .next. Returns whether the file is there.
 */
bool identity_file_path(int folder, const char *host, const char *ending, char file[static IDENTITY_FILE_NAME_MAX + 1]);

/* Can this be the name of a host, and a part of a file's name? Pure. */
bool identity_file_is_host(const char *host);

/*
 * Loads an identity. folder: a descriptor; file: its name, HOST.pem, HOST.next or, given, identity.HOST.pem. A given
 * one may be a symbolic link that stays in its folder, a made one may not. Returns NULL only when memory is short;
 * `problem` tells of everything else. Dispose of it with identity_file_dispose.
 */
struct identity_file *identity_file_load(int folder, const char *file, bool given);

/* Is its file (or, of a given one, that of its key) another one by now, or gone? */
bool identity_file_is_stale(const struct identity_file *held, int folder);

/* How well does it fit a host, going by the names in its certificate? */
enum certificate_match identity_file_match(const struct identity_file *held, const char *host);

/*
 * Warns in the log when the end of the certificate has come nearer than 60, 30 or 7 days, each time once, and at every
 * call once it is past. Tells once of what else clients may take amiss.
 */
void identity_file_warn(struct identity_file *held);

/* Wipes the key and gives everything back. NULL is none. */
void identity_file_dispose(struct identity_file *held);
