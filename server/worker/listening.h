/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A worker's listeners: when it watches them, and what it accepts. */

#include "loop.h"

/* Makes epoll watch the listeners. */
void listening_begin(struct worker *worker);

/*
 * Accepts what waits, as far as there is room, and decides whether epoll goes on watching. May end other connections,
 * so call it after all other events of this round.
 */
void listening_attend(struct worker *worker);
