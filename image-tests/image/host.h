/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * Test hosts as the tests of the image see them. image-tests/with-hosts starts the two that are looked at and tells
 * their names by the environment; a test that stops or breaks its host starts one of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../client.h"

struct host {
    char name[64];
    uint16_t port;
};

/* The host on which the image is attached (VITRINE_ATTACHED), and the image booted by itself (VITRINE_BOOTED). */
struct host host_attached(void);
struct host host_booted(void);

/* A host of this test's own. kind: of image-tests/hosts/. Ends the test when it does not start. */
struct host host_start(const char *kind);

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

/* Runs a shell command on this machine, likewise. */
int machine_run(const char *command);

/* What the image booted by itself has written so far, in host_output. */
void host_read_console(const struct host *host);

/* Asks the server of the host by 127.0.0.1 for a path of the capsule localhost. The reply lives until the next call. */
const struct gemini_reply *host_ask(const struct host *host, const char *path);
