/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What the attempts share. Their functions are declared here from the list; see attempt.h for what they are. */

#include <limits.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attempt.h"

#define ATTEMPT(function, name, sentence) int function(const struct surroundings *surroundings);
#include "list.h"
#undef ATTEMPT

/* ---- reasons; each returns an outcome ---- */

void reason_begin(void);
void reason_add(const char *text);
void reason_add_number(long number);

/* "EACCES", or "error 123". */
const char *error_name(int error);

/* Reached what it wanted; `what` goes into the reason. */
int succeeded(const char *what);

/* Did not; `how` goes into the reason. */
int contained(const char *how);

/*
 * The system call failed with errno: contained, with "ERRNO at CALL". Absent when it is one that this kernel does not
 * have (surroundings->lacking).
 */
int refused(const struct surroundings *surroundings, const char *call);

/* Is this among what the kernel does not have? Without a list in the surroundings all is believed. */
bool is_lacking(const struct surroundings *surroundings, const char *what);

/* The surroundings lack something, or the kernel does; `what` is missing. */
int absent(const char *what);

/* As succeeded() when the result is not negative, else as refused(). */
int judged(const struct surroundings *surroundings, long result, const char *call, const char *what);

/* ---- tools ---- */

/* Joins up to four texts; NULL ends early. Returns a buffer that the second call after this one overwrites. */
const char *joined(const char *first, const char *second, const char *third, const char *fourth);
const char *digits(long number);

/*
 * Opens a file and looks for the token in its first 64 KiB. Closes it. Succeeded when the token is there; contained
 * when the file cannot be opened, read, or holds other things.
 */
int read_token(const struct surroundings *surroundings, const char *path);

/* The same with a descriptor, which it closes; negative: refused at `call`. */
int read_token_from(const struct surroundings *surroundings, int descriptor, const char *call);

/* Does memory of this size hold this text? */
bool holds(const void *memory, size_t size, const char *text);

/* Looks for a file that shows anything at all: succeeded when at least one byte can be read. */
int read_anything(const struct surroundings *surroundings, const char *path);

/* Milliseconds of the monotonic clock; waits without sleeping, which a worker is not allowed to. */
uint64_t clock_milliseconds(void);

/* A process of its own that does nothing for two seconds and ends. Returns its id, or -1 with errno. */
long start_idle_process(void);

/* Ends it and takes its status. */
void end_process(long process);

/* A thread that does nothing for two seconds and ends; earlier when its process does. Returns its id, or -1 with errno.
 */
long start_idle_thread(void);
