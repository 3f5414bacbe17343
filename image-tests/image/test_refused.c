/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kernel and systemd themselves refuse if an image is attached without vitrinectl, which would refuse it
 * first. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "host.h"

TestSuite(refused, .timeout = 900);

/* From this version of systemd on, units can insist on a signature. On older versions, vitrinectl makes them insist on
 * the root hash. */
#define INSISTS_ON_SIGNATURE 254

/* Only in a virtual machine is dm-verity certain to be available. */
Test(refused, an_image_that_is_not_as_it_was_signed_does_not_run) {
    static const struct {
        const char *image;
        bool certificate, runs;
    } cases[] = {
        {"vitrine_99.0.raw", true, true},
        {"vitrine_99.0.raw", false, false},
        {"vitrine_77.0.raw", true, false},
        {"vitrine_flipped-superblock.raw", true, false},
        {"vitrine_flipped-tree.raw", true, false},
        {"vitrine_flipped-data.raw", true, false},
        {"vitrine_flipped-signature.raw", true, false},
        {"vitrine_unsigned.raw", true, false},
    };
    struct host host = host_start();
    if (host_systemd(&host) < INSISTS_ON_SIGNATURE) {
        host_stop(&host);
        cr_skip_test("systemd before 254 insists on no signature without vitrinectl");
    }
    host_attach(&host);
    cr_assert_eq(host_run(&host, "vitrinectl detach"), 0, "%s", host_output);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[1024];
        snprintf(command, sizeof command, "build/variants/%s", cases[i].image);
        host_copy(&host, command, "/run");
        snprintf(command, sizeof command,
                 "%s; portablectl attach --quiet --profile=vitrine --now /run/%s; "
                 "systemctl is-active --quiet vitrine.service; active=$?; "
                 "portablectl detach --quiet --now /run/%s; systemctl reset-failed; "
                 "mv /run/aside.crt /etc/verity.d/vitrine.crt 2>/dev/null; rm /run/%s; exit $active",
                 cases[i].certificate ? ":" : "mv /etc/verity.d/vitrine.crt /run/aside.crt", cases[i].image,
                 cases[i].image, cases[i].image);
        int status = host_run(&host, command);
        cr_expect_eq(status == 0, cases[i].runs, "%s, certificate %d: %s", cases[i].image, cases[i].certificate,
                     host_output);
    }
    cr_expect(host_stop(&host), "%s", host_output);
}

/* If somebody replaces the file of an attached image, nothing else runs. */
Test(refused, an_image_that_was_exchanged_does_not_run) {
    static const struct {
        const char *image;
        bool runs, runs_by_root_hash;
    } cases[] = {
        {"vitrine_99.0.raw", true, false},
        {"vitrine_77.0.raw", false, false},
        {"vitrine_flipped-superblock.raw", false, false},
        {"vitrine_flipped-tree.raw", false, false},
        {"vitrine_flipped-data.raw", false, false},
        {"vitrine_flipped-signature.raw", false, false},
        {"vitrine_unsigned.raw", false, true},
        {"vitrine_stripped.raw", false, false},
        {"vitrine_two-faced.raw", false, false},
    };
    struct host host = host_start();
    host_attach(&host);
    bool by_root_hash = host_systemd(&host) < INSISTS_ON_SIGNATURE;
    cr_assert_eq(host_run(&host, "cp $(systemctl show --value --property=RootImage vitrine.service) /run/right.raw"), 0,
                 "%s", host_output);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[1024];
        snprintf(command, sizeof command, "build/variants/%s", cases[i].image);
        host_copy(&host, command, "/run");
        snprintf(command, sizeof command,
                 "image=$(systemctl show --value --property=RootImage vitrine.service); "
                 "cp /run/%s $image; systemctl restart vitrine-keys.service && systemctl restart vitrine.service; "
                 "active=$?; systemctl stop vitrine.service vitrine-keys.service; systemctl reset-failed; "
                 "cp /run/right.raw $image; rm /run/%s; exit $active",
                 cases[i].image, cases[i].image);
        int status = host_run(&host, command);
        cr_expect_eq(status == 0, by_root_hash ? cases[i].runs_by_root_hash : cases[i].runs, "%s: %s", cases[i].image,
                     host_output);
    }
    cr_expect_eq(host_run(&host, "systemctl start vitrine-keys.service && systemctl start vitrine.service"), 0, "%s",
                 host_output);
    cr_expect(host_answers(&host), "the right image runs again");
    cr_expect(host_stop(&host), "%s", host_output);
}
