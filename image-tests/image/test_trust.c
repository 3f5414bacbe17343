/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which images are to be trusted: vitrinectl verify, without a host. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "host.h"

TestSuite(trust, .timeout = 120);

Test(trust, an_image_is_trusted_only_as_it_was_signed) {
    static const struct {
        const char *image;
        int status;
        const char *words;
    } cases[] = {
        {"vitrine_99.0.raw", 0, "Vitrine 99.0, signed by mkosi.crt, root hash "},
        {"vitrine_66.0.raw", 0, "Vitrine 66.0, signed by mkosi.crt"},
        {"vitrine_77.0.raw", 65, "none of 1 certificates here has signed it (mkosi.crt)"},
        {"vitrine_flipped-data.raw", 65, "its bytes are not those that were signed"},
        {"vitrine_flipped-superblock.raw", 65, "its bytes are not those that were signed"},
        {"vitrine_flipped-tree.raw", 65, "its bytes are not those that were signed"},
        {"vitrine_flipped-signature.raw", 65, "not to be trusted"},
        {"vitrine_unsigned.raw", 65, "is not signed: it needs"},
        {"vitrine_truncated.raw", 65, "cut off"},
        {"vitrine_empty.raw", 65, "is no disk image"},
        {"capsule_1.raw", 64, "images are named vitrine_VERSION.raw"},
        {"vitrine_missing.raw", 66, "there is no image"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[512];
        snprintf(command, sizeof command, "units/vitrinectl verify build/variants/%s --certificate=mkosi.crt",
                 cases[i].image);
        cr_expect_eq(machine_run(command), cases[i].status, "%s: %s", cases[i].image, host_output);
        cr_expect(strstr(host_output, cases[i].words), "%s: %s", cases[i].image, host_output);
        cr_expect_null(strchr(host_output, '\n'), "more than a sentence: %s", host_output);
    }
    machine_run("units/vitrinectl verify build/variants/vitrine_77.0.raw --certificate=build/variants/other.crt");
    cr_expect(strstr(host_output, "Vitrine 77.0, signed by build/variants/other.crt"), "%s", host_output);
}

Test(trust, the_same_capsules_make_the_same_image) {
    cr_expect_eq(machine_run("cmp build/variants/content.raw build/variants/content-again.raw"), 0, "%s", host_output);
    cr_expect_neq(machine_run("cmp build/variants/content.raw build/variants/content-other.raw"), 0);
    cr_expect_eq(machine_run("mkdir -p build/variants/none; tar -C build/variants/none -cf - . | "
                             "units/bake-content build/variants/none.raw mkosi.key mkosi.crt"),
                 65, "%s", host_output);
    cr_expect(strstr(host_output, "holds no capsule"), "%s", host_output);
}

Test(trust, wrong_usage_is_one_sentence) {
    static const struct {
        const char *arguments;
        int status;
        const char *words;
    } cases[] = {
        {"verify build/variants/vitrine_99.0.raw", 78, "trusts no certificate"},
        {"verify build/variants/vitrine_99.0.raw --certificate=Makefile", 66, "holds no certificate"},
        {"verify build/variants/vitrine_99.0.raw --key=x", 64, "--certificate=FILE"},
        {"verify server/", 66, "is no file that can be read"},
        {"dance", 64, "there is no command 'dance'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[512];
        snprintf(command, sizeof command, "units/vitrinectl %s", cases[i].arguments);
        cr_expect_eq(machine_run(command), cases[i].status, "%s: %s", cases[i].arguments, host_output);
        cr_expect(strstr(host_output, cases[i].words), "%s: %s", cases[i].arguments, host_output);
        cr_expect_null(strchr(host_output, '\n'), "more than a sentence: %s", host_output);
    }
}
