/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <criterion/criterion.h>
#include <string.h>

#include "common/probe_address.h"

#define BOOT_ID "6f1c2f0e-8a5d-4c3b-9e7f-0123456789ab"

Test(probe_address, it_depends_on_the_boot_id_alone) {
    uint8_t one[PROBE_ADDRESS_SIZE], same[PROBE_ADDRESS_SIZE], other[PROBE_ADDRESS_SIZE];
    cr_assert(probe_address_of(BOOT_ID, one));
    cr_assert(probe_address_of(BOOT_ID "\n", same));
    cr_expect_arr_eq(one, same, sizeof one);
    char changed[] = BOOT_ID;
    changed[35] = 'c';
    cr_assert(probe_address_of(changed, other));
    cr_expect_neq(memcmp(one, other, sizeof one), 0);
}

/* It is never an address with another use: 127.0.0.1, or the first or last one of the network. */
Test(probe_address, it_is_of_this_machine_and_of_nobody_else) {
    char boot_id[] = BOOT_ID;
    for (unsigned i = 0; i < 4096; i++) {
        uint8_t address[PROBE_ADDRESS_SIZE];
        boot_id[0] = "0123456789abcdef"[i & 15];
        boot_id[1] = "0123456789abcdef"[i >> 4 & 15];
        boot_id[2] = "0123456789abcdef"[i >> 8];
        cr_assert(probe_address_of(boot_id, address));
        cr_expect_eq(address[0], 127);
        cr_expect(address[1] > 0 && address[1] < 255);
        cr_expect(address[3] > 0 && address[3] < 255);
    }
}

Test(probe_address, without_a_boot_id_there_is_none) {
    static const char *const cases[] = {"", "\n", "6f1c2f0e", "6f1c2f0e-8a5d-4c3b-9e7f-0123456789a", BOOT_ID "0"};
    static const uint8_t none[PROBE_ADDRESS_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t address[PROBE_ADDRESS_SIZE] = {1, 2, 3, 4};
        cr_expect_not(probe_address_of(cases[i], address), "%s", cases[i]);
        cr_expect_arr_eq(address, none, sizeof none, "%s", cases[i]);
    }
}
