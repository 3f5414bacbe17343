/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "probe_address.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "keyed_hash.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LENGTH 36 /* 32 hexadecimal digits and four dashes */

bool probe_address_of(const char *boot_id, uint8_t address[static PROBE_ADDRESS_SIZE]) {
    static const char use[] = "vitrine probe";
    uint8_t key[KEYED_HASH_KEY];
    size_t digits = 0;
    memset(address, 0, PROBE_ADDRESS_SIZE);
    for (; *boot_id != '\0' && *boot_id != '\n'; boot_id++) {
        if (*boot_id == '-')
            continue;
        if (digits == sizeof key)
            return false;
        key[digits++] = (uint8_t)*boot_id;
    }
    if (digits != sizeof key)
        return false;
    uint64_t hash = keyed_hash(key, use, sizeof use);
    address[0] = 127;
    address[1] = (uint8_t)(1 + hash % 254); /* neither 127.0.0.1 nor the broadcast address */
    address[2] = (uint8_t)(hash >> 16);
    address[3] = (uint8_t)(1 + (hash >> 24) % 254);
    return true;
}

bool probe_address(uint8_t address[static PROBE_ADDRESS_SIZE]) {
    char boot_id[BOOT_ID_LENGTH + 1] = "";
    int file = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        (void)!read(file, boot_id, BOOT_ID_LENGTH);
        close(file);
    }
    return probe_address_of(boot_id, address);
}
