/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* The numbers of system calls, with one that musl 1.2.5 has for x86-64 only; the kernel has it for arm64, too. */

#include <sys/syscall.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
