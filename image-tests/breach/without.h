/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "common/sandbox.h"

/* As sandbox_enter, but for the parts that the environment's BREACH_WITHOUT names. */
int enter_without(enum sandbox_role role, int folder);
