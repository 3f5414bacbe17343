/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Test hosts as the tests of the image see them. image-tests/with-host starts the one that is looked at and tells its
 * name by the environment; a test that stops or breaks its host starts one of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/client.h"

struct host {
    char name[64];
    uint16_t port;
};

/* The host on which the image is attached, or the image booted by itself. */
struct host host_here(void);

/* Is that a virtual machine, with a kernel of its own? */
bool host_is_virtual(void);

/* A host of this test's own, of the same kind. Ends the test when it does not start. */
struct host host_start(void);

/* Attaches the image to it. */
void host_attach(const struct host *host);

/* Stops it. True: in peace, and nothing of it is left. */
bool host_stop(const struct host *host);

/*
 * Runs a shell command in the host, at most a minute. Returns its exit status; what it wrote is in `output` until the
 * next call, without the end of the last line.
 */
int host_run(const struct host *host, const char *command);
extern char host_output[65536];

/* The version of the host's systemd, such as 257. Uses host_output. */
int host_systemd(const struct host *host);

/* Runs a shell command on this machine, likewise. */
int machine_run(const char *command);

/* What the image booted by itself has written so far, in host_output. */
void host_read_console(const struct host *host);

/* Asks the server of the host by 127.0.0.1 for a path of the capsule localhost. The reply lives until the next call. */
const struct gemini_reply *host_ask(const struct host *host, const char *path);

/* As host_ask, but does not mind when no whole reply comes: false then, or when its status is not 20. */
bool host_answers(const struct host *host);

/* Copies a file of this machine into a folder of the host. */
void host_copy(const struct host *host, const char *path, const char *folder);

/* How a visitor fared who asked for the start page, again and again without a break. */
struct host_visits {
    int asked, turned_away;
};

/* Visits the host while shell commands run on it, which must end well within ten minutes; what they wrote is in
 * host_output. */
struct host_visits host_visit_during(const struct host *host, const char *commands);
