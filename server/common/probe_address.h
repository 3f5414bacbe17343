/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The address that `vitrine probe` connects from, by which the server knows its visits: one of 127.0.0.0/8 that depends
 * on the boot ID of the machine (random(4)). Whoever can read that is on this machine. A client from elsewhere cannot
 * have it, even if a proxy on this machine gives each of its clients an address of 127.0.0.0/8 (as I2P routers do): it
 * does not know which of 16 million to have.
 */

#include <stdbool.h>
#include <stdint.h>

#define PROBE_ADDRESS_SIZE 4

/* Finds the address, in network order. Returns false, and all zeros, if the boot ID cannot be read. */
bool probe_address(uint8_t address[static PROBE_ADDRESS_SIZE]);

/* Makes the address from a boot ID, as the kernel writes it. Pure. Returns false if it is none. */
bool probe_address_of(const char *boot_id, uint8_t address[static PROBE_ADDRESS_SIZE]);
