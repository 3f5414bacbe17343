/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * The address that `vitrine probe` connects from, by which the server recognizes it: one in 127.0.0.0/8 that depends on
 * the machine's boot ID (random(4)), which only processes on this machine can read. A client from elsewhere cannot have
 * this address, even if a proxy on this machine gives each client an address in 127.0.0.0/8 (as I2P routers do): it
 * does not know which of the 16 million addresses to use.
 */

#include <stdbool.h>
#include <stdint.h>

#define PROBE_ADDRESS_SIZE 4

/* Finds the address, in network order. Returns false, and all zeros, if the boot ID cannot be read. */
bool probe_address(uint8_t address[static PROBE_ADDRESS_SIZE]);

/* Makes the address from a boot ID, as the kernel writes it. Pure. Returns false if it is none. */
bool probe_address_of(const char *boot_id, uint8_t address[static PROBE_ADDRESS_SIZE]);
