/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "inside.h"

const struct attempt attempts[] = {
#define ATTEMPT(function, name, sentence) {name, sentence, function},
#include "list.h"
#undef ATTEMPT
};

const size_t attempt_count = sizeof attempts / sizeof attempts[0];
