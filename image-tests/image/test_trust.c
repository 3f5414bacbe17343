/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which images vitrinectl verify trusts, without a host. */

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
        {"vitrine_77.0.raw", 65, "none of the 1 certificates here has signed it (mkosi.crt)"},
        {"vitrine_flipped-data.raw", 65, "its content differs from what was signed"},
        {"vitrine_flipped-superblock.raw", 65, "its content differs from what was signed"},
        {"vitrine_flipped-tree.raw", 65, "its content differs from what was signed"},
        {"vitrine_flipped-signature.raw", 65, "cannot be trusted"},
        {"vitrine_broken-signature.raw", 65, "its signature cannot be read"},
        {"vitrine_unsigned.raw", 65, "is not signed: partition 3 is not the signature"},
        {"content-foreign.raw", 65, ", but this host is "},
        {"vitrine_truncated.raw", 65, "cut off"},
        {"vitrine_empty.raw", 65, "is not a disk image"},
        /* The content decides, not the name. */
        {"capsule_1.raw", 0, "Vitrine 0.1.0, signed by mkosi.crt"},
        {"content.raw", 0, "content.raw: capsules, signed by mkosi.crt"},
        {"content-large.raw", 0, "content-large.raw: capsules, signed by mkosi.crt"},
        {"content-large-gap.raw", 65, "it contains more than was signed"},
        {"vitrine_9.9.9.raw", 0, "vitrine_9.9.9.raw: capsules, signed by mkosi.crt"},
        {"vitrine_unmarked.raw", 65, "is not an image of Vitrine"},
        /* Images with additional data that systemd might find in the file. */
        {"vitrine_two-faced.raw", 65, "it contains more than was signed"},
        {"vitrine_boot-code.raw", 65, "it contains more than was signed"},
        {"vitrine_gap.raw", 65, "it contains more than was signed"},
        {"vitrine_behind.raw", 65, "it contains more than was signed"},
        {"vitrine_entry.raw", 65, "it contains more than was signed"},
        {"vitrine_second-table.raw", 65, "it contains more than was signed"},
        {"vitrine_label.raw", 65, "it contains more than was signed"},
        {"vitrine_longer.raw", 65, "it contains more than was signed"},
        {"vitrine_missing.raw", 66, "does not exist; give the file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[512];
        snprintf(command, sizeof command, "host/vitrinectl verify build/variants/%s --certificate=mkosi.crt",
                 cases[i].image);
        cr_expect_eq(machine_run(command), cases[i].status, "%s: %s", cases[i].image, host_output);
        cr_expect(strstr(host_output, cases[i].words), "%s: %s", cases[i].image, host_output);
        cr_expect_null(strchr(host_output, '\n'), "more than a sentence: %s", host_output);
    }
    machine_run("host/vitrinectl verify build/variants/vitrine_77.0.raw --certificate=build/variants/other.crt");
    cr_expect(strstr(host_output, "Vitrine 77.0, signed by build/variants/other.crt"), "%s", host_output);
}

Test(trust, the_same_capsules_make_the_same_image) {
    cr_expect_eq(machine_run("cmp build/variants/content.raw build/variants/content-again.raw"), 0, "%s", host_output);
    cr_expect_neq(machine_run("cmp build/variants/content.raw build/variants/content-other.raw"), 0);
    cr_expect_eq(machine_run("mkdir -p build/variants/none; tar -C build/variants/none -cf - . | "
                             "tools/bake-content build/variants/none.raw mkosi.key mkosi.crt"),
                 65, "%s", host_output);
    cr_expect(strstr(host_output, "holds no capsule"), "%s", host_output);
}

Test(trust, what_looks_like_a_system_is_no_capsule) {
    static const char *const folders[] = {"usr", "etc", "bin", "sbin", "lib", "lib64", "var", "USR"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char command[512];
        /* A symbolic link is refused like a folder. */
        snprintf(
            command, sizeof command,
            "cd build/variants && rm -rf system && cp -r capsules system && %s system/%s && tar -C system -cf - . | "
            "../../tools/bake-content system.raw ../../mkosi.key ../../mkosi.crt",
            i % 2 == 0 ? "cp -r hostile/usr" : "ln -s localhost", folders[i]);
        cr_expect_eq(machine_run(command), 65, "%s: %s", folders[i], host_output);
        cr_expect(strstr(host_output, "as a system does and no capsule"), "%s: %s", folders[i], host_output);
        cr_expect_eq(machine_run("ls build/variants/system.raw"), 2, "%s", host_output);
    }
    machine_run("rm -rf build/variants/system; mkdir build/variants/system; cp -r build/variants/capsules/localhost "
                "build/variants/system/lib.example.org");
    cr_expect_eq(machine_run("tar -C build/variants/system -cf - . | tools/bake-content build/variants/system.raw "
                             "mkosi.key mkosi.crt"),
                 0, "%s", host_output);
}

Test(trust, wrong_usage_is_one_sentence) {
    static const struct {
        const char *arguments;
        int status;
        const char *words;
    } cases[] = {
        {"verify build/variants/vitrine_99.0.raw", 78, "trusts no certificate"},
        {"verify build/variants/vitrine_99.0.raw --certificate=Makefile", 66, "contains no readable certificate"},
        {"verify build/variants/vitrine_99.0.raw --key=x", 64, "--certificate=FILE"},
        {"verify server/", 66, "is not a readable file"},
        {"dance", 64, "unknown command 'dance'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[512];
        snprintf(command, sizeof command, "host/vitrinectl %s", cases[i].arguments);
        cr_expect_eq(machine_run(command), cases[i].status, "%s: %s", cases[i].arguments, host_output);
        cr_expect(strstr(host_output, cases[i].words), "%s: %s", cases[i].arguments, host_output);
        cr_expect_null(strchr(host_output, '\n'), "more than a sentence: %s", host_output);
    }
}
