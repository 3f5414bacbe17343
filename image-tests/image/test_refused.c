/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kernel and systemd themselves refuse, when an image is attached without vitrinectl, which would refuse first. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "host.h"

TestSuite(refused, .timeout = 900);

/* Only a virtual machine is sure to have dm-verity. */
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
