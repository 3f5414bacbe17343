/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Goes before every file of wolfSSL: its random bytes come from the program (server/common/random.h), and with those it
 * calls getpid without having asked for its header.
 */
#ifndef __ASSEMBLER__
#include <unistd.h>
int vitrine_random_block(unsigned char *output, unsigned int size);
#endif
