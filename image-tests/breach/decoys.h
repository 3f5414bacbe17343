/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Parts of the program that sets up the decoys (decoys.c). */

#include <stdio.h>

#define TOKEN_SIZE 33 /* 16 bytes in hexadecimal, and NUL */

/* The victim's main function. The victim has the token in its arguments and its environment. Does not return. */
int be_victim(const char *heard_path);

/* Writes the line "lacking=" (attempt.h). */
void tell_lacking(FILE *surroundings);
