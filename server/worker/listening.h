/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* A worker at its listeners: when it watches them, and what it accepts. */

#include "loop.h"

/* Has epoll watch the listeners. */
void listening_begin(struct worker *worker);

/*
 * Accepts what waits, as far as there is room, and decides whether epoll goes on watching. May end other connections,
 * so none of this round's events may still wait for being handled.
 */
void listening_attend(struct worker *worker);
