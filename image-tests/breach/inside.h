/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Functions that the attempts share. The attempts' functions are declared here from the list; attempt.h describes
 * them. */

#include <limits.h>
#include <stdint.h>
#include <unistd.h>

#include "attempt.h"
#include "calls.h"

#define ATTEMPT(function, name, sentence) int function(const struct surroundings *surroundings);
#include "list.h"
#undef ATTEMPT

/* ---- reasons; each returns an outcome ---- */

void reason_begin(void);
void reason_add(const char *text);
void reason_add_number(long number);

/* "EACCES", or "error 123". */
const char *error_name(int error);

/* The attempt reached its goal; `what` is added to the reason. */
int succeeded(const char *what);

/* The attempt failed; `how` is added to the reason. */
int contained(const char *how);

/*
 * The system call failed with errno: contained, with "ERRNO at CALL". The result is "absent" if this kernel lacks the
 * call (surroundings->lacking).
 */
int refused(const struct surroundings *surroundings, const char *call);

/* Does the kernel lack this? Without a list in the surroundings, anything may be lacking. */
bool is_lacking(const struct surroundings *surroundings, const char *what);

/* The surroundings or the kernel lack something; `what` names it. */
int absent(const char *what);

/* Like succeeded() if the result is not negative, otherwise like refused(). */
int judged(const struct surroundings *surroundings, long result, const char *call, const char *what);

/* ---- tools ---- */

/* Joins up to four texts; NULL ends early. Returns a buffer that the second call after this one overwrites. */
const char *joined(const char *first, const char *second, const char *third, const char *fourth);
const char *digits(long number);

/*
 * Opens a file, looks for the token in its first 64 KiB, and closes it. Succeeded if the token is there; contained if
 * the file cannot be opened or read, or contains something else.
 */
int read_token(const struct surroundings *surroundings, const char *path);

/* Does the same with a descriptor, which it closes. If it is negative, refused at `call`. */
int read_token_from(const struct surroundings *surroundings, int descriptor, const char *call);

/* Does this memory contain this text? */
bool holds(const void *memory, size_t size, const char *text);

/* Tries to read a file: succeeded if at least one byte can be read. */
int read_anything(const struct surroundings *surroundings, const char *path);

/* Milliseconds of the monotonic clock. Attempts wait by reading it, because a worker is not allowed to sleep. */
uint64_t clock_milliseconds(void);

/* Starts a process that does nothing for two seconds and ends. Returns its PID, or -1 with errno. */
long start_idle_process(void);

/* Kills it and collects its status. */
void end_process(long process);

/* Starts a thread that does nothing for two seconds and ends, or ends earlier with its process. Returns its ID, or -1
 * with errno. */
long start_idle_thread(void);
