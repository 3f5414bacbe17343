/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Included before every file of wolfSSL: its random bytes come from the program (server/common/random.h). With this
 * setting, wolfSSL also calls getpid without including its header.
 */
#ifndef __ASSEMBLER__
#include <unistd.h>
int vitrine_random_block(unsigned char *output, unsigned int size);
#endif
