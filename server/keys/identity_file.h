/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * One identity that the key process holds, with the file it came from: made by Vitrine, in the state folder (HOST.pem),
 * or given, in the credentials (identity.HOST.pem, and identity.HOST.key if the key has a file of its own).
 */

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "identity.h"

#define IDENTITY_FILE_NAME_MAX 255   /* bytes of the name of a file: NAME_MAX of the usual file systems */
#define IDENTITY_FILE_PRESENT ".pem" /* behind the host: the identity in use */
#define IDENTITY_FILE_NEXT ".next"   /* the one that was announced */
/* Bytes of a host that can have an identity: with the longer ending behind it, it is the name of a file. */
#define IDENTITY_FILE_HOST_MAX (IDENTITY_FILE_NAME_MAX + 1 - sizeof IDENTITY_FILE_NEXT)
/* The present generation, and one for each retired worker (children.h); some are from reloads that failed. */
#define IDENTITY_FILE_GENERATIONS 160

/* What shows that a file was changed. */
struct identity_file_state {
    dev_t device;
    ino_t number;
    off_t size;
    mode_t mode;
    uid_t owner;
    struct timespec modified;
};

/* There may be ten thousand of them, so there is no room for names of any length. */
struct identity_file {
    char *file;
    char *host; /* its host, according to the file's name; canonical (hostname.h) */
    bool given;
    bool used;        /* a capsule uses it */
    bool former;      /* it was replaced; it signs only for workers that still serve it */
    bool told;        /* its problem, or other peculiarities, were logged */
    bool has_unicode; /* as certificate_facts, like the next three */
    char *names;      /* NULL if the certificate cannot be read */
    time_t begins, ends;
    unsigned warned;                  /* the stage (certificate.h) that was last logged */
    unsigned generation_count;        /* at most IDENTITY_FILE_GENERATIONS */
    uint64_t *generations;            /* of workers that serve it, the latest first */
    const char *problem;              /* why it cannot be used: a sentence without a full stop; NULL: it can be used */
    struct identity identity;         /* without a key if there is a problem */
    struct identity_file_state about; /* of the file at the time it was read */
    struct identity_file_state about_key;             /* of the key's file, if there is one; otherwise all zero */
    struct identity_file *next_of_host, *next_of_key; /* in the lists of the identity store */
};

/*
 * Reads the canonical host (hostname.h) from a file name: HOST.pem; if given, identity.HOST.pem or identity_HOST.pem.
 * Names of credentials cannot contain colons, so in given ones dashes replace those of an IPv6 address:
 * identity.2001-db8--1.pem. Returns false if the name has another form. Pure.
 */
bool identity_file_host_of(const char *file, bool given, char host[static HOSTNAME_MAX + 1]);

/* Writes the name of a given identity for a host: identity.HOST.pem, as identity_file_host_of reads it. Pure. */
void identity_file_credential(const char *host, char file[static IDENTITY_FILE_NAME_MAX + 1]);

/* Writes the name of the file of a host's identity in the state folder: HOST.pem. Pure. */
void identity_file_name(const char *host, char file[static IDENTITY_FILE_NAME_MAX + 1]);

/*
 * Writes the name of a host's file in the state folder: HOST and the ending. Earlier versions named it like the
 * capsule's folder; if only a file with the non-ASCII spelling exists, that one is used. folder: a descriptor; host:
 * canonical; ending: IDENTITY_FILE_PRESENT or IDENTITY_FILE_NEXT. Returns whether the file exists.
 */
bool identity_file_path(int folder, const char *host, const char *ending, char file[static IDENTITY_FILE_NAME_MAX + 1]);

/* Can this be a host name, and part of a file name? Pure. */
bool identity_file_is_host(const char *host);

/*
 * Loads an identity. folder: a descriptor; file: its name, HOST.pem, HOST.next or, if given, identity.HOST.pem. A given
 * one may be a symbolic link that stays in its folder; a made one may not. Returns NULL only if there is no memory;
 * `problem` reports everything else. The caller frees it with identity_file_dispose.
 */
struct identity_file *identity_file_load(int folder, const char *file, bool given);

/*
 * Records that workers of this generation serve it, and forgets the oldest one if there are too many. Without memory,
 * nothing is recorded: those workers get no signature.
 */
void identity_file_serve(struct identity_file *held, uint64_t generation);

/* Do workers of this generation serve it? 0: no worker. */
bool identity_file_serves(const struct identity_file *held, uint64_t generation);

/* Has its file (or, if given, the file of its key) changed since it was read, or gone? */
bool identity_file_is_stale(const struct identity_file *held, int folder);

/* How well does it match a host, according to the names in its certificate? */
enum certificate_match identity_file_match(const struct identity_file *held, const char *host);

/*
 * Logs a warning once when the certificate expires in less than 60, 30 and 7 days, and at every call after it has
 * expired. Also logs once anything else that clients may reject.
 */
void identity_file_warn(struct identity_file *held);

/* Wipes the key and frees everything. NULL is allowed. */
void identity_file_dispose(struct identity_file *held);
