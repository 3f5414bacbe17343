/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A host whose administrator uses vitrinectl: what it does, what it refuses, and that clients notice no
 * interruption. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

TestSuite(looked_after, .timeout = 900);

static bool said(const char *text) {
    return strstr(host_output, text) != NULL;
}

/* The number of rounds of frequent actions: as many as promised where they are quick. On an emulated processor, an
 * upgrade takes long. */
static int rounds(void) {
    return host_is_virtual() ? 3 : 20;
}

Test(looked_after, status_tells_all_that_matters) {
    char fingerprint[GEMINI_FINGERPRINT_SIZE];
    struct host host = host_here();
    const struct gemini_way way = {.port = host.port, .server_name = "localhost"};
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    gemini_fingerprint(client, fingerprint);
    gemini_end(client);
    char *end = fingerprint;
    for (const char *digit = fingerprint; *digit; digit++) {
        if (*digit != ':')
            *end++ = *digit;
    }
    *end = '\0';

    int status = host_run(&host, "vitrinectl status");
    cr_expect(said("Vitrine, vitrine_"), "%s", host_output);
    cr_expect(said("signature     good: root hash "), "%s", host_output);
    cr_expect(said("server        Every name shows the sample") && said("keys          Holding "), "%s", host_output);
    cr_expect(said(fingerprint), "%s is not in: %s", fingerprint, host_output);
    cr_expect(said("vitrine.service 0.1 of 10") && said("vitrine-keys.service 0.1 of 10"), "%s", host_output);
    /* In a container, the signature cannot be enforced, and status must report that. */
    cr_expect_eq(status, host_is_virtual() ? 0 : 1, "%s", host_output);
    cr_expect_eq(said("enforced      no: vitrine.service would run"), !host_is_virtual(), "%s", host_output);
}

Test(looked_after, what_is_not_to_be_trusted_changes_nothing) {
    static const char *const images[][2] = {
        {"vitrine_77.0.raw", "has signed it"},
        {"vitrine_flipped-data.raw", "its content differs from what was signed"},
        {"vitrine_unsigned.raw", "is not signed"},
        {"vitrine_two-faced.raw", "it contains more than was signed"},
        {"vitrine_unmarked.raw", "is not an image of Vitrine"},
        {"vitrine_9.9.9.raw", "is an image of capsules, not of the server"},
    };
    struct host host = host_here();
    static char before[sizeof host_output];
    host_run(&host, "systemctl show --property=RootImage,MainPID vitrine.service; ls -A /var/lib/portables");
    snprintf(before, sizeof before, "%s", host_output);
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++) {
        char path[128], command[128];
        snprintf(path, sizeof path, "build/variants/%s", images[i][0]);
        host_copy(&host, path, "/run");
        snprintf(command, sizeof command, "vitrinectl upgrade /run/%s; status=$?; rm /run/%s; exit $status",
                 images[i][0], images[i][0]);
        cr_expect_eq(host_run(&host, command), 65, "%s: %s", images[i][0], host_output);
        cr_expect(said(images[i][1]), "%s: %s", images[i][0], host_output);
    }
    host_run(&host, "systemctl show --property=RootImage,MainPID vitrine.service; ls -A /var/lib/portables");
    cr_expect_str_eq(host_output, before);
    host_run(&host, "vitrinectl attach /nowhere/vitrine_1.raw");
    cr_expect(said("is already attached; to replace it, run: vitrinectl upgrade"), "%s", host_output);
    cr_expect_eq(host_run(&host, "vitrinectl rollback"), 75, "%s", host_output);
}

static void report(const char *what, struct host_visits visits) {
    fprintf(stderr, "%s, %s: %d visits, %d turned away\n", getenv("VITRINE_KIND"), what, visits.asked,
            visits.turned_away);
}

Test(looked_after, upgrades_turn_nobody_away) {
    char commands[1024];
    struct host host = host_start();
    host_attach(&host);
    host_copy(&host, "build/variants/vitrine_99.0.raw", "/run");
    snprintf(commands, sizeof commands,
             "vitrinectl upgrade /run/vitrine_99.0.raw; vitrinectl status || :; "
             "for round in $(seq 2 %d); do vitrinectl rollback; done",
             rounds());
    struct host_visits visits = host_visit_during(&host, commands);
    snprintf(commands, sizeof commands, "%d upgrades", rounds());
    report(commands, visits);
    cr_expect(said("upgraded to Vitrine 99.0") && said("went back to Vitrine 0"), "%s", host_output);
    cr_expect(said("previous      vitrine_"), "%s", host_output);
    cr_expect(visits.asked > 5 && visits.turned_away == 0, "%d of %d", visits.turned_away, visits.asked);

    /* This image mounts and runs, but is never ready. The previous one must come back by itself, and clients at most
     * wait. */
    host_copy(&host, "build/variants/vitrine_66.0.raw", "/run");
    visits = host_visit_during(&host, "vitrinectl upgrade /run/vitrine_66.0.raw && exit 1; status=$?; "
                                      "systemctl is-active vitrine.service; ls /var/lib/portables; [ $status = 70 ]");
    report("an upgrade that goes back by itself", visits);
    cr_expect(said("did not become ready") && said("serves again; nothing else has changed"), "%s", host_output);
    cr_expect(!said("vitrine_66.0+"), "%s", host_output);
    cr_expect(visits.asked > 0 && visits.turned_away == 0, "%d of %d", visits.turned_away, visits.asked);
    cr_expect(host_stop(&host), "%s", host_output);
}

Test(looked_after, a_full_or_read_only_disk_is_told_and_changes_nothing) {
    static const struct {
        const char *before, *after, *command;
        int status; /* -1: the same as without the change */
        const char *words;
    } cases[] = {
        {"mount -t tmpfs -o ro tmpfs /var/tmp", "umount /var/tmp", "vitrinectl status", -1, "signature     good"},
        {"mount -t tmpfs -o size=64k tmpfs /var/tmp", "umount /var/tmp", "vitrinectl status", -1, "signature     good"},
        {"mkdir /run/small; mount -t tmpfs -o size=64k tmpfs /run/small", "umount /run/small; rmdir /run/small",
         "TMPDIR=/run/small vitrinectl status", -1, "cannot be checked: no room in /run/small"},
        {"mkdir /run/small; mount -t tmpfs -o size=64k tmpfs /run/small", "umount /run/small; rmdir /run/small",
         "TMPDIR=/run/small vitrinectl upgrade /run/vitrine_10.0.raw", 73, "no room in /run/small"},
        {"mount -t tmpfs -o ro tmpfs /var/lib/portables", "umount /var/lib/portables",
         "vitrinectl upgrade /run/vitrine_10.0.raw", 73, "Read-only file system"},
        {"mount --bind /var/lib/vitrinectl /var/lib/vitrinectl; mount -o remount,bind,ro /var/lib/vitrinectl",
         "umount /var/lib/vitrinectl", "vitrinectl upgrade /run/vitrine_10.0.raw", 73, "make it writable"},
        {"mount --bind /var/lib/vitrinectl /var/lib/vitrinectl; mount -o remount,bind,ro /var/lib/vitrinectl",
         "umount /var/lib/vitrinectl", "vitrinectl content /run/content.raw", 73, "Read-only file system"},
        {"mount -t tmpfs -o size=4k tmpfs /var/lib/vitrinectl", "umount /var/lib/vitrinectl",
         "vitrinectl content /run/content.raw", 73, "No space left on device"},
        /* Status needs no lock: monitoring must not report a fault because somebody upgrades. */
        {"flock /run/vitrinectl.lock sleep 8 & sleep 0.2", "wait", "vitrinectl status", -1, "signature     good"},
        {"flock /run/vitrinectl.lock sleep 15 & sleep 0.2", "wait", "vitrinectl rollback", 75,
         "another vitrinectl is running"},
    };
    static char before[sizeof host_output];
    struct host host = host_start();
    host_attach(&host);
    host_copy(&host, "build/variants/vitrine_10.0.raw", "/run");
    host_copy(&host, "build/variants/content.raw", "/run");
    int well = host_run(&host, "vitrinectl status");
    host_run(
        &host,
        "systemctl show --property=RootImage,MainPID vitrine.service; ls -A /var/lib/portables /var/lib/vitrinectl");
    snprintf(before, sizeof before, "%s", host_output);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[1024];
        snprintf(command, sizeof command, "%s; %s; status=$?; %s; exit $status", cases[i].before, cases[i].command,
                 cases[i].after);
        int status = host_run(&host, command);
        if (cases[i].status >= 0 || strstr(cases[i].words, "good"))
            cr_expect_eq(status, cases[i].status < 0 ? well : cases[i].status, "%s: %d %s", cases[i].before, status,
                         host_output);
        cr_expect(said(cases[i].words), "%s: %s", cases[i].before, host_output);
        cr_expect(!said("cut off") && !said("line "), "%s: %s", cases[i].before, host_output);
        host_run(&host, "systemctl show --property=RootImage,MainPID vitrine.service; ls -A /var/lib/portables "
                        "/var/lib/vitrinectl");
        cr_expect_str_eq(host_output, before, "%s: %s", cases[i].before, host_output);
        cr_expect(host_answers(&host), "%s: it does not answer", cases[i].before);
    }
    cr_expect_eq(host_run(&host, "vitrinectl upgrade /run/vitrine_10.0.raw"), 0, "%s", host_output);
    cr_expect(host_stop(&host), "%s", host_output);
}

Test(looked_after, a_reload_that_was_refused_is_told) {
    struct host host = host_start();
    host_run(&host, "mkdir -p /etc/vitrine");
    host_attach(&host);
    cr_expect_eq(host_run(&host, "vitrinectl reload"), 0, "%s", host_output);
    cr_expect(said("reloaded; see what is served"), "%s", host_output);
    host_run(&host, "echo langauge = en >>/etc/vitrine/vitrine.conf");
    cr_expect_eq(host_run(&host, "vitrinectl reload"), 70, "%s", host_output);
    cr_expect(said("langauge") && said("the old state stays"), "%s", host_output);
    cr_expect(host_answers(&host), "after a reload that was refused");
    host_run(&host, "sed -i /langauge/d /etc/vitrine/vitrine.conf");
    cr_expect_eq(host_run(&host, "vitrinectl reload"), 0, "%s", host_output);
    cr_expect(host_stop(&host), "%s", host_output);
}

Test(looked_after, status_prints_no_bytes_that_others_chose) {
    struct host host = host_start();
    host_attach(&host);
    /* A key process that was taken over can create files with such names, and set its service's status text. */
    host_run(&host,
             "printf x >\"/var/lib/private/vitrine/a$(printf \"\\033[31m\\007\\302\\233\")b.pem\"; vitrinectl status");
    for (const char *byte = host_output; *byte; byte++)
        cr_expect(*byte == '\n' || (*byte >= ' ' && *byte <= '~'), "byte %02x in: %s", (unsigned char)*byte,
                  host_output);
    cr_expect(said("a\\x1b[31m\\x07\\xc2\\x9bb"), "%s", host_output);
    cr_expect(host_stop(&host), "%s", host_output);
}

Test(looked_after, capsules_in_an_image_of_their_own) {
    struct host host = host_start();
    host_attach(&host);
    host_copy(&host, "build/variants/content.raw", "/run");
    host_copy(&host, "build/variants/content-other.raw", "/run");
    cr_expect_eq(host_run(&host, "vitrinectl content /run/content-other.raw"), 65, "%s", host_output);
    cr_expect(said("has signed it"), "%s", host_output);
    cr_expect_eq(host_run(&host, "vitrinectl content /var/lib/portables/vitrine_*.raw"), 65, "%s", host_output);
    cr_expect(said("is an image of the server, not of capsules"), "%s", host_output);
    cr_expect_eq(host_ask(&host, "/only-in-the-image.gmi")->status, 51);

    struct host_visits visits = host_visit_during(&host, "vitrinectl content /run/content.raw");
    cr_expect_eq(visits.turned_away, 0, "%d of %d", visits.turned_away, visits.asked);
    cr_expect(said("showing the capsules of /run/content.raw"), "%s", host_output);
    const struct gemini_reply *reply = host_ask(&host, "/only-in-the-image.gmi");
    cr_expect_eq(reply->status, 20);
    cr_expect(reply->body_size > 5 && memcmp(reply->body, "# Only", 6) == 0);
    host_run(&host, "vitrinectl status");
    cr_expect(said("content       an image of its own"), "%s", host_output);
    cr_expect_eq(
        host_run(&host, "touch /proc/$(systemctl show --value --property=MainPID vitrine.service)/root/srv/gemini/x"),
        1, "%s", host_output);

    /* Changes from one image to another: no client is refused, and no mount of the previous image remains. */
    host_copy(&host, "build/variants/content-second.raw", "/run");
    visits = host_visit_during(
        &host,
        "main() { systemctl show --value --property=MainPID vitrine.service; }; first=$(main); "
        "mounts() { for process in 1 $(systemctl show --value --property=MainPID vitrine.service); do "
        "wc -l </proc/$process/mountinfo; done; }; before=$(mounts); "
        "for round in 1 2 3; do vitrinectl content /run/content-second.raw && vitrinectl content /run/content.raw "
        "|| exit; done; vitrinectl content /run/content-second.raw && after=$(mounts); "
        "[ \"$before\" = \"$after\" ] && echo \"as many mounts\"; echo $before, $after; "
        "[ \"$(systemctl --version | sed -n \"1s/[^0-9]*\\([0-9]*\\).*/\\1/p\")\" -lt 257 ] || [ \"$first\" = "
        "\"$(main)\" ] && "
        "echo \"restarted only where it has to be\"");
    cr_expect_eq(visits.turned_away, 0, "%d of %d", visits.turned_away, visits.asked);
    cr_expect(said("as many mounts"), "%s", host_output);
    cr_expect(said("restarted only where it has to be"), "%s", host_output);
    cr_expect_eq(host_ask(&host, "/only-in-the-image.gmi")->status, 51);
    cr_expect_eq(host_ask(&host, "/only-in-the-second.gmi")->status, 20);

    cr_expect_eq(host_run(&host, "vitrinectl content --none"), 0, "%s", host_output);
    cr_expect_eq(host_ask(&host, "/only-in-the-second.gmi")->status, 51);
    cr_expect_eq(host_ask(&host, "/")->status, 20);
    cr_expect(host_stop(&host), "%s", host_output);
}

Test(looked_after, restarts_and_killed_workers_turn_nobody_away) {
    static const struct {
        const char *what, *once;
        int lost; /* failed requests allowed for each time */
    } cases[] = {
        {"restarts", "systemctl restart vitrine.service", 0},
        {"restarts of the keys", "systemctl restart vitrine-keys.service", 0},
        /* Clients of the killed worker lose their connections. */
        {"killed workers",
         "worker=$(tr \" \" \"\\n\" </proc/$(systemctl show --value --property=MainPID "
         "vitrine.service)/task/*/children | "
         "grep . | shuf -n 1); [ -z \"$worker\" ] || kill -KILL $worker; sleep 0.1",
         1},
    };
    struct host host = host_start();
    host_attach(&host);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char commands[512], what[64];
        int times = host_is_virtual() ? 5 : 20;
        snprintf(commands, sizeof commands, "for round in $(seq %d); do %s; done", times, cases[i].once);
        struct host_visits visits = host_visit_during(&host, commands);
        snprintf(what, sizeof what, "%d %s", times, cases[i].what);
        report(what, visits);
        cr_expect(visits.asked > 5 && visits.turned_away <= times * cases[i].lost, "%s: %d of %d", cases[i].what,
                  visits.turned_away, visits.asked);
    }
    cr_assert_eq(host_run(&host, "for round in 1 2 3 4 5; do "
                                 "systemctl kill --signal=KILL --kill-whom=all vitrine.service; sleep 0.3; done"),
                 0, "%s", host_output);
    cr_expect(host_answers(&host), "after five crashes in two seconds");
    cr_expect(host_stop(&host), "%s", host_output);
}

Test(looked_after, what_stops_an_attach_is_told_and_leaves_nothing) {
    static const struct {
        const char *before, *after;
        int status;
        const char *words;
    } cases[] = {
        {"mv /etc/verity.d /etc/aside", "mv /etc/aside /etc/verity.d", 78, "trusts no certificate"},
        {"mv /usr/local/lib/systemd/portable /run/aside", "mv /run/aside /usr/local/lib/systemd/portable", 78,
         "the profile vitrine"},
        {"mount -t tmpfs -o size=64k tmpfs /var/lib/portables", "umount /var/lib/portables", 73,
         "No space left on device"},
        /* A process whose name the administrator recognizes uses the port of this test's host. */
        {"port=$(sed -n \"s/.*127.0.0.1:\\|.*0.0.0.0://p\" /etc/systemd/system/vitrine.socket.d/99-host.conf | tail -n "
         "1); "
         "systemd-run --quiet --unit=holder systemd-socket-activate -l $port /bin/cat; sleep 1",
         "systemctl stop holder", 70, "is in use by \"systemd-socket"},
        {"mkdir -p /var/lib/vitrinectl; mount -t tmpfs -o ro tmpfs /var/lib/vitrinectl", "umount /var/lib/vitrinectl",
         73, "make it writable"},
        {"systemctl mask --runtime vitrine-keys.service", "systemctl unmask --runtime vitrine-keys.service", 70,
         "did not start"},
        {"mkdir -p /etc/systemd/system/vitrine-keys.service.d; printf "
         "\"[Service]\\nLoadCredential=identity.x:/no/where\\n\" "
         ">/etc/systemd/system/vitrine-keys.service.d/50.conf",
         "rm /etc/systemd/system/vitrine-keys.service.d/50.conf", 70, "did not start"},
    };
    struct host host = host_start();
    host_attach(&host);
    cr_assert_eq(host_run(&host, "cp /var/lib/portables/vitrine_* /run/vitrine_1.raw && vitrinectl detach"), 0, "%s",
                 host_output);
    cr_expect(said("identities stay"), "%s", host_output);
    cr_expect(!host_answers(&host), "the port still answers");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[1024];
        snprintf(command, sizeof command, "%s; vitrinectl attach /run/vitrine_1.raw; status=$?; %s; exit $status",
                 cases[i].before, cases[i].after);
        cr_expect_eq(host_run(&host, command), cases[i].status, "%s: %s", cases[i].before, host_output);
        cr_expect(said(cases[i].words), "%s: %s", cases[i].before, host_output);
        host_run(&host, "ls -A /var/lib/portables /etc/systemd/system.attached 2>/dev/null | grep vitrine_");
        cr_expect_str_eq(host_output, "", "%s left something: %s", cases[i].before, host_output);
        cr_expect_eq(host_run(&host, "vitrinectl status"), 75, "%s", host_output);
    }
    /* The content decides, whatever its name: this is an image of capsules. */
    host_copy(&host, "build/variants/vitrine_9.9.9.raw", "/run");
    host_copy(&host, "build/variants/vitrine_unmarked.raw", "/run");
    host_copy(&host, "build/variants/vitrine_two-faced.raw", "/run");
    cr_expect_eq(host_run(&host, "vitrinectl attach /run/vitrine_9.9.9.raw"), 65, "%s", host_output);
    cr_expect(said("to show it, run: vitrinectl content"), "%s", host_output);
    cr_expect_eq(host_run(&host, "vitrinectl attach /run/vitrine_unmarked.raw"), 65, "%s", host_output);
    cr_expect_eq(host_run(&host, "vitrinectl attach /run/vitrine_two-faced.raw"), 65, "%s", host_output);
    cr_expect_neq(host_run(&host, "ls /run/owned"), 0, "root ran what an attacker wrote");
    cr_expect_eq(host_run(&host, "vitrinectl attach /run/vitrine_1.raw"), 0, "%s", host_output);
    cr_expect(host_answers(&host), "attached again, it does not answer");

    /* One of systemd's own profiles would weaken the service, which status must report. */
    host_run(&host,
             "image=/var/lib/portables/$(ls /var/lib/portables); cp $image /run/vitrine_2.raw; vitrinectl detach; "
             "portablectl attach --quiet --profile=default /run/vitrine_2.raw; vitrinectl status");
    cr_expect(said("instead of vitrine"), "%s", host_output);
    cr_expect(host_stop(&host), "%s", host_output);
}
