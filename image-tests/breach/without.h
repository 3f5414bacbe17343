/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "common/sandbox.h"

/* Like sandbox_enter, but without the parts that BREACH_WITHOUT in the environment names. */
int enter_without(enum sandbox_role role, int folder);
