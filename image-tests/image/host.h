/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Test hosts, for the tests of the image. image-tests/with-host starts the shared host and passes its name in the
 * environment; a test that stops or breaks its host starts one of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/client.h"

struct host {
    char name[64];
    uint16_t port;
};

/* Returns the host where the image is attached, or the booted image. */
struct host host_here(void);

/* Is it a virtual machine, with its own kernel? */
bool host_is_virtual(void);

/* Starts a host for this test alone, of the same kind. Fails the test if it does not start. */
struct host host_start(void);

/* Attaches the image to it. */
void host_attach(const struct host *host);

/* Stops it. Returns true if it stopped cleanly and left nothing. */
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

/*
 * Requests a path of the capsule localhost from the host's server, over 127.0.0.1. The response is valid until the next
 * call.
 */
const struct gemini_reply *host_ask(const struct host *host, const char *path);

/* As host_ask, but does not fail without a complete response: returns false then, or if the status is not 20. */
bool host_answers(const struct host *host);

/* Copies a file of this machine into a folder of the host. */
void host_copy(const struct host *host, const char *path, const char *folder);

/* The results of a client that requested the start page continuously. */
struct host_visits {
    int asked, turned_away;
};

/*
 * Visits the host while shell commands run on it, which must succeed within ten minutes; their output is in
 * host_output.
 */
struct host_visits host_visit_during(const struct host *host, const char *commands);
