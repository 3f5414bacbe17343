/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The image as a portable service of a host. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

TestSuite(attached, .timeout = 900);

static bool said(const char *text) {
    return strstr(host_output, text) != NULL;
}

/* Runs a command with $main, the PID of the service's main process: /proc/PID/root is the file system that it sees. */
static int run_inside(const struct host *host, const char *command) {
    char whole[2048];
    snprintf(whole, sizeof whole, "main=$(systemctl show --value --property=MainPID vitrine.service); %s", command);
    return host_run(host, whole);
}

Test(attached, the_service_manager_knows_that_it_is_ready) {
    struct host host = host_here();
    cr_assert_eq(host_run(&host, "systemctl show vitrine.service --property=Type,ActiveState,SubState,"
                                 "StatusText,NRestarts,RootImage,Result"),
                 0, "%s", host_output);
    cr_expect(said("Type=notify") && said("SubState=running"), "%s", host_output);
    cr_expect(said("StatusText=Every name shows the sample") && said("Serving 1 capsule "), "%s", host_output);
    cr_expect(said("NRestarts=0") && said("Result=success"), "%s", host_output);
    cr_expect(said("RootImage=/var/lib/portables/vitrine_"), "%s", host_output);
    cr_assert_eq(host_run(&host, "systemctl show vitrine.socket --property=ActiveState,SubState,Result"), 0, "%s",
                 host_output);
    cr_expect(said("ActiveState=active") && said("SubState=running") && said("Result=success"), "%s", host_output);
}

/* Only the scheduling class "batch" reduces the number of wake-ups. */
Test(attached, both_services_are_a_batch) {
    struct host host = host_here();
    cr_assert_eq(host_run(&host, "for service in vitrine vitrine-keys; do ps -o cls= -p "
                                 "$(systemctl show --value --property=MainPID $service.service); done | sort -u"),
                 0, "%s", host_output);
    cr_expect(said("B") && !said("TS"), "%s", host_output);
}

Test(attached, portablectl_knows_the_image) {
    struct host host = host_here();
    cr_assert_eq(host_run(&host, "portablectl --no-pager list"), 0, "%s", host_output);
    cr_expect(said("vitrine_") && said("running"), "%s", host_output);
    cr_assert_eq(host_run(&host, "portablectl --no-pager inspect /var/lib/portables/vitrine_*.raw"), 0, "%s",
                 host_output);
    cr_expect(said("vitrine.service") && said("vitrine.socket"), "%s", host_output);
}

Test(attached, a_request_is_one_line_of_the_journal) {
    struct host host = host_here();
    host_ask(&host, "/no-such-page-of-the-journal?not%20this");
    cr_assert_eq(host_run(&host, "for i in 1 2 3 4 5; do journalctl --sync; journalctl --no-pager --output=cat "
                                 "--unit=vitrine.service | grep of-the-journal && break; sleep 0.2; done"),
                 0);
    cr_expect(said("status=51") && said("complete=yes"), "%s", host_output);
    cr_expect_null(strchr(host_output, '\n'), "more than one line: %s", host_output);
    cr_expect(!said("not%20this"), "a query is in the log: %s", host_output);
}

Test(attached, its_root_is_read_only) {
    static const char *const folders[] = {
        "",         "/usr/bin", "/etc",     "/srv/gemini", "/usr/share/vitrine/sample/localhost",
        "/tmp",     "/var",     "/var/tmp", "/usr/lib",    "/run",
        "/var/lib", "/dev",     "/dev/shm"};
    struct host host = host_here();
    cr_assert_eq(run_inside(&host, "test -d /proc/$main/root/usr/bin && command -v setpriv"), 0, "nothing is tried");
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char command[512];
        /* Uses the service's own user, because the host's root could write to a /dev in memory. */
        snprintf(command, sizeof command,
                 "nsenter --target $main --mount --root=/proc/$main/root true 2>/dev/null; "
                 "setpriv --reuid=$(stat -c %%u /proc/$main) --clear-groups touch /proc/$main/root%s/trace",
                 folders[i]);
        cr_expect_neq(run_inside(&host, command), 0, "something could be written to %s/", folders[i]);
        cr_expect(said("Read-only file system") || said("Permission denied") || said("No such file"), "%s/: %s",
                  folders[i], host_output);
    }
    /* Not even root can write to the image itself. */
    cr_expect_neq(run_inside(&host, "touch /proc/$main/root/usr/share/vitrine/sample/localhost/index.gmi"), 0);
    cr_expect(said("Read-only file system"), "%s", host_output);
}

Test(attached, neither_shell_nor_key_is_in_its_image) {
    struct host host = host_here();
    cr_expect_neq(run_inside(&host, "ls -d /proc/$main/root/bin /proc/$main/root/usr/bin/sh"), 0, "%s", host_output);
    cr_assert_eq(run_inside(&host, "ls /proc/$main/root/usr/bin"), 0, "%s", host_output);
    cr_expect_str_eq(host_output, "vitrine");
    run_inside(&host, "grep -rl -e '-----BEGIN [A-Z ]*PRIVATE KEY-----.' /proc/$main/root/usr /proc/$main/root/etc "
                      "/proc/$main/root/srv");
    cr_expect_str_eq(host_output, "");
}

Test(attached, it_has_no_network_of_its_own) {
    struct host host = host_here();
    cr_assert_eq(run_inside(&host, "nsenter --target $main --net ip -oneline link | grep -v ' lo:'; true"), 0);
    cr_expect_str_eq(host_output, "");
}

/* Does the output contain `key`, and is each line that begins with it this line? */
static bool all_say(const char *key, const char *line) {
    size_t count = 0;
    for (const char *at = host_output; (at = strstr(at, key)); at++, count++) {
        if (strncmp(at, line, strlen(line)) != 0)
            return false;
    }
    return count > 0;
}

Test(attached, nobody_is_privileged_in_it) {
    struct host host = host_here();
    cr_assert_eq(run_inside(&host,
                            "for p in $(cat /sys/fs/cgroup/system.slice/vitrine.service/cgroup.procs); do grep -E "
                            "'^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$p/status; done"),
                 0, "%s", host_output);
    cr_expect(!said("Uid:\t0\t"), "%s", host_output);
    cr_expect(all_say("NoNewPrivs:", "NoNewPrivs:\t1"), "%s", host_output);
    cr_expect(all_say("CapEff:", "CapEff:\t0000000000000000"), "%s", host_output);
    cr_expect(all_say("CapBnd:", "CapBnd:\t0000000000000000"), "%s", host_output);
    cr_expect(all_say("Seccomp:", "Seccomp:\t2"), "%s", host_output);
}

static void fingerprint_of(const struct host *host, char fingerprint[static GEMINI_FINGERPRINT_SIZE]) {
    const struct gemini_way way = {.port = host->port, .server_name = "localhost"};
    struct gemini_client *client = gemini_connect(&way);
    cr_assert(client && gemini_shake_hands(client));
    gemini_fingerprint(client, fingerprint);
    gemini_end(client);
}

Test(attached, identity_and_port_outlive_a_restart) {
    char before[GEMINI_FINGERPRINT_SIZE], after[GEMINI_FINGERPRINT_SIZE];
    struct host host = host_start();
    host_attach(&host);
    fingerprint_of(&host, before);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(host_run(&host, "systemctl restart --no-block vitrine.service"), 0, "%s", host_output);
        cr_expect_eq(host_ask(&host, "/")->status, 20, "while it restarts");
        fingerprint_of(&host, after);
        cr_expect_str_eq(after, before, "visitors would be warned of another certificate");
    }
    cr_expect(host_stop(&host), "%s", host_output);
}

/* Makes an identity for localhost and one for an address, in the folder from which systemd reads credentials. */
#define GIVE                                                                                                           \
    "set -e; umask 077; mkdir -p /etc/credstore; cd /etc/credstore; "                                                  \
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout k -out c -subj /CN=localhost "       \
    "-days 300 2>/dev/null; cat k c >identity.localhost.pem; cat k c >identity.200-db8--1.pem; "                       \
    "openssl x509 -in c -noout -fingerprint -sha256 | cut -d= -f2; rm k c"

/* From this version on, systemd finds credentials in their folder; older versions need them to be named. */
#define CREDENTIALS_BY_PLACE 254
#define NAME_GIVEN                                                                                                     \
    "mkdir -p /etc/systemd/system/vitrine-keys.service.d; cd /etc/credstore; { echo \"[Service]\"; "                   \
    "for file in identity.*; do echo \"LoadCredential=$file:/etc/credstore/$file\"; done; } "                          \
    ">/etc/systemd/system/vitrine-keys.service.d/identities.conf; systemctl daemon-reload"

/* Makes an expired certificate, c, for the key k. OpenSSL 3.4 and newer accept dates; older versions accept a negative
 * number of days. */
#define ENDED                                                                                                          \
    "openssl req -x509 -key k -subj /CN=localhost -not_before 20200101000000Z -not_after 20200102000000Z -out c "      \
    "2>/dev/null || openssl req -new -key k -subj /CN=localhost | openssl x509 -req -signkey k -days -1 -out c "       \
    "2>/dev/null; "

Test(attached, given_identities_count_after_a_reload) {
    char before[GEMINI_FINGERPRINT_SIZE], given[GEMINI_FINGERPRINT_SIZE], served[GEMINI_FINGERPRINT_SIZE];
    struct host host = host_start();
    /* The sample capsule would not be shown if another host has an identity. */
    cr_assert_eq(host_run(&host, "mkdir -p /srv/gemini/localhost && echo '# Mine' >/srv/gemini/localhost/index.gmi"), 0,
                 "%s", host_output);
    host_attach(&host);
    int systemd = host_systemd(&host);
    char command[640];
    snprintf(command, sizeof command, "%s; %s; systemctl reload vitrine.service",
             systemd < CREDENTIALS_BY_PLACE ? NAME_GIVEN : "true",
             /* Before version 260, systemd does not pass new credentials to a running service. */
             systemd < 260 ? "systemctl restart vitrine-keys.service" : "true");
    fingerprint_of(&host, before);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(host_run(&host, GIVE), 0, "%s", host_output);
        snprintf(given, sizeof given, "%.*s", GEMINI_FINGERPRINT_SIZE - 1, host_output);
        fingerprint_of(&host, served);
        cr_expect_str_eq(served, before);
        cr_assert_eq(host_run(&host, command), 0, "%s", host_output);
        fingerprint_of(&host, served);
        cr_expect_str_eq(served, given, "round %d", round);
        memcpy(before, given, sizeof before);
        cr_expect_eq(host_ask(&host, "/")->status, 20);
    }
    host_run(&host, "ls -A /run/credentials/vitrine-keys.service");
    cr_expect(said("identity.200-db8--1.pem"), "a credential for an address is passed over: %s", host_output);
    cr_expect_eq(host_run(&host, "systemctl reload vitrine-keys.service; systemctl is-active vitrine-keys.service"), 0);
    host_run(&host, "vitrinectl status");
    cr_expect(said("(made; the given one is used)") && said(" (given)"), "%s", host_output);

    /* An expired identity is served, and status reports it. For one that cannot be used, status and log give the
     * reason. */
    cr_assert_eq(host_run(&host, "cd /etc/credstore; openssl genpkey -algorithm ed25519 -out k; " ENDED
                                 "cat k c >identity.localhost.pem && rm k c && "
                                 "systemctl restart vitrine-keys.service 2>/dev/null && "
                                 "systemctl reload vitrine.service 2>/dev/null && "
                                 "openssl x509 -in identity.localhost.pem -noout -fingerprint -sha256 | cut -d= -f2"),
                 0, "%s", host_output);
    snprintf(given, sizeof given, "%.*s", GEMINI_FINGERPRINT_SIZE - 1, host_output);
    fingerprint_of(&host, served);
    cr_expect_str_eq(served, given);
    cr_expect_neq(host_run(&host, "vitrinectl status"), 0);
    cr_expect(said(" (given); the server still uses it"), "%s", host_output);
    cr_expect_neq(host_run(&host, "echo nothing >/etc/credstore/identity.localhost.pem; vitrinectl status"), 0);
    cr_expect(said("localhost has a file that contains no certificate (given)"), "%s", host_output);
    cr_expect(!said("unable to load"), "%s", host_output);
    cr_expect(host_stop(&host), "%s", host_output);
}

/* Makes a key and a certificate for localhost, in /run/given.pem of the host, and prints the certificate's
 * fingerprint. */
#define MAKE_GIVEN                                                                                                     \
    "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /run/given.key "          \
    "-out /run/given.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 300 2>/dev/null; "             \
    "openssl x509 -in /run/given.pem -noout -fingerprint -sha256 | cut -d= -f2; "                                      \
    "cat /run/given.key >>/run/given.pem; rm /run/given.key"
#define STORE "/etc/credstore.encrypted/identity.localhost.pem"
#define ENCRYPT "systemd-creds encrypt --with-key=host --name=identity.localhost.pem /run/given.pem "
/* Makes systemd refuse to start the service without this identity. */
#define INSIST                                                                                                         \
    "mkdir -p /etc/systemd/system/vitrine-keys.service.d; printf "                                                     \
    "'[Service]\\nLoadCredentialEncrypted=identity.localhost.pem:" STORE "\\n' "                                       \
    ">/etc/systemd/system/vitrine-keys.service.d/identity.conf; systemctl daemon-reload"
#define TAKE_BACK "rm " STORE " /etc/systemd/system/vitrine-keys.service.d/identity.conf; systemctl daemon-reload"

Test(attached, an_encrypted_identity_is_served) {
    static const struct {
        const char *what, *then;
    } ways[] = {{"by its place", "vitrinectl status | grep \"" STORE " has not reached vitrine-keys\""},
                {"named by a drop-in", INSIST}};
    struct host host = host_start();
    host_attach(&host);
    for (size_t i = host_systemd(&host) < CREDENTIALS_BY_PLACE; i < sizeof ways / sizeof ways[0]; i++) {
        char given[GEMINI_FINGERPRINT_SIZE], served[GEMINI_FINGERPRINT_SIZE], command[1024];
        cr_assert_eq(host_run(&host, MAKE_GIVEN), 0, "%s", host_output);
        snprintf(given, sizeof given, "%.*s", GEMINI_FINGERPRINT_SIZE - 1, host_output);
        snprintf(command, sizeof command,
                 "set -e; mkdir -p -m 0700 /etc/credstore.encrypted; " ENCRYPT STORE "; rm /run/given.pem; %s; "
                 "systemctl restart vitrine-keys.service; systemctl reload vitrine.service",
                 ways[i].then);
        cr_assert_eq(host_run(&host, command), 0, "%s: %s", ways[i].what, host_output);
        fingerprint_of(&host, served);
        cr_expect_str_eq(served, given, "%s", ways[i].what);
        host_run(&host, "vitrinectl status");
        cr_expect(!said("cannot be decrypted") && !said("has not reached"), "%s: %s", ways[i].what, host_output);
        snprintf(command, sizeof command,
                 "vitrinectl status | grep -c \"localhost SHA-256 $(echo %s | tr -d :) until \"", given);
        cr_expect_eq(host_run(&host, command), 0, "%s: %s", ways[i].what, host_output);
        cr_expect_neq(host_run(&host, "grep -rl -e '-----BEGIN' /etc/credstore /etc/credstore.encrypted"), 0, "%s",
                      host_output);
    }
    cr_expect(host_stop(&host), "%s", host_output);
}

/*
 * An identity that cannot be decrypted is not replaced by one that the server made earlier. Since some version after
 * 257, this requires that systemd insists on it; otherwise, the service starts without it.
 */
Test(attached, an_encrypted_identity_that_cannot_be_used_is_not_replaced) {
    static const struct {
        const char *what, *encrypt;
    } cases[] = {
        {"for another name", "systemd-creds encrypt --with-key=host --name=identity.other.pem /run/given.pem " STORE},
        {"altered", ENCRYPT "- | base64 -d >/run/given.bytes; { head -c 300 /run/given.bytes; printf ALTERED; "
                            "tail -c +308 /run/given.bytes; } | base64 >" STORE},
        {"of another host", ENCRYPT STORE "; rm /var/lib/systemd/credential.secret; systemd-creds setup"},
        {"empty", "true >" STORE},
    };
    char made[GEMINI_FINGERPRINT_SIZE], served[GEMINI_FINGERPRINT_SIZE];
    struct host host = host_start();
    host_attach(&host);
    const struct gemini_way way = {.port = host.port, .server_name = "localhost", .patience = 1000};
    fingerprint_of(&host, made);
    cr_assert_eq(host_run(&host, MAKE_GIVEN "; mkdir -p -m 0700 /etc/credstore.encrypted"), 0, "%s", host_output);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(host_run(&host, INSIST), 0, "%s", host_output);
        cr_assert_eq(host_run(&host, cases[i].encrypt), 0, "%s: %s", cases[i].what, host_output);
        cr_expect_neq(host_run(&host, "systemctl restart vitrine-keys.service"), 0, "%s: it runs", cases[i].what);
        struct gemini_client *client = gemini_connect(&way);
        cr_expect(!client || !gemini_shake_hands(client), "%s: another certificate is shown", cases[i].what);
        if (client)
            gemini_end(client);
        host_run(&host, "vitrinectl status");
        cr_expect(said(STORE " cannot be decrypted: "), "%s: %s", cases[i].what, host_output);
        cr_expect(said("keys          activating; see: journalctl --unit vitrine-keys.service"), "%s: %s",
                  cases[i].what, host_output);
        host_run(&host, "journalctl --sync; journalctl --no-pager --output=cat --cursor-file=/run/cursor "
                        "--unit=vitrine-keys.service");
        cr_expect(said("Failed to set up credentials"), "%s: %s", cases[i].what, host_output);
        cr_assert_eq(host_run(&host, TAKE_BACK "; systemctl restart vitrine-keys.service vitrine.service"), 0, "%s: %s",
                     cases[i].what, host_output);
        fingerprint_of(&host, served);
        cr_expect_str_eq(served, made, "%s", cases[i].what);
    }
    cr_expect(host_stop(&host), "%s", host_output);
}

Test(attached, a_crash_is_survived) {
    struct host host = host_start();
    host_attach(&host);
    cr_assert_eq(host_run(&host, "systemctl kill --signal=KILL --kill-whom=all vitrine.service"), 0, "%s", host_output);
    cr_expect_eq(host_ask(&host, "/")->status, 20, "after all processes were killed");
    cr_assert_eq(host_run(&host, "systemctl show --value --property=NRestarts vitrine.service"), 0);
    cr_expect_geq(atoi(host_output), 1, "%s", host_output);
    cr_expect(host_stop(&host), "%s", host_output);
}

/* Damages the service's first listener in a way that the sandbox forbids workers. Returns false if the host does not
 * allow it. */
static bool spoil(const struct host *host, const char *how) {
    char command[128];
    snprintf(command, sizeof command, "/run/spoil $main 3 %s", how);
    int status = run_inside(host, command);
    cr_assert(status == 0 || !host_is_virtual(), "%s: %s", how, host_output);
    return status == 0;
}

static bool answers_within(const struct host *host, unsigned seconds) {
    uint64_t give_up = gemini_now() + seconds * 1000;
    while (!host_answers(host)) {
        if (gemini_now() > give_up)
            return false;
        usleep(200000);
    }
    return true;
}

/* Waits until the service logs an error with this text. */
static bool logs_within(const struct host *host, const char *text, unsigned seconds) {
    uint64_t give_up = gemini_now() + seconds * 1000;
    do {
        host_run(host, "journalctl --sync; journalctl --no-pager --output=cat --priority=err --unit=vitrine.service");
        if (said(text))
            return true;
    } while (gemini_now() < give_up);
    return false;
}

/* The socket belongs to the service manager and outlives the service, so only these two may be needed to repair it. */
Test(attached, a_port_that_was_spoiled_answers_again, .timeout = 900) {
    struct host host = host_start();
    host_attach(&host);
    host_copy(&host, "build/spoil", "/run");
    cr_assert(answers_within(&host, 60));
    if (!spoil(&host, "block")) {
        host_stop(&host);
        cr_skip_test("a container does not let anybody take descriptors; make port-check looks, too");
    }
    cr_expect(answers_within(&host, 120), "it blocks");
    /* A worker that accepts one connection at a time may answer before the supervisor notices. */
    cr_expect(logs_within(&host, "had been set to blocking mode; corrected", 60), "%s", host_output);
    for (int round = 0; round < 2; round++) {
        cr_expect(spoil(&host, "shutdown") && answers_within(&host, 120), "it is closed");
    }
    cr_expect(logs_within(&host, "the listening socket of port ", 60) && said(" was shut down"), "%s", host_output);
    cr_expect_eq(host_run(&host, "systemctl is-active vitrine.service vitrine.socket"), 0, "%s", host_output);
    cr_expect(host_stop(&host));
}

Test(attached, settings_of_the_host_count_after_a_reload) {
    struct host host = host_start();
    cr_assert_eq(host_run(&host, "mkdir -p /etc/vitrine; echo >/etc/vitrine/vitrine.conf"), 0);
    host_attach(&host);
    cr_expect_str_eq(host_ask(&host, "/")->meta, "text/gemini");
    struct host_visits visits = host_visit_during(&host, "echo language = en >/etc/vitrine/vitrine.conf; "
                                                         "for i in 1 2 3; do systemctl reload vitrine.service; done");
    cr_expect(visits.asked > 0 && visits.turned_away == 0, "%d of %d", visits.turned_away, visits.asked);
    cr_expect_str_eq(host_ask(&host, "/")->meta, "text/gemini; lang=en");
    cr_assert_eq(host_run(&host, "echo nonsense >/etc/vitrine/vitrine.conf; systemctl reload vitrine.service; "
                                 "systemctl show --value --property=StatusText vitrine.service"),
                 0);
    cr_expect(said("Not reloaded"), "%s", host_output);
    cr_expect_str_eq(host_ask(&host, "/")->meta, "text/gemini; lang=en");
    cr_expect(host_stop(&host), "%s", host_output);
}

Test(attached, detached_it_leaves_nothing_but_its_identities) {
    struct host host = host_start();
    host_attach(&host);
    cr_assert_eq(host_run(&host, "portablectl --quiet detach --now /var/lib/portables/vitrine_*.raw"), 0, "%s",
                 host_output);
    cr_expect(!host_answers(&host), "the port still answers");
    host_run(&host, "ls /etc/systemd/system.attached /run/systemd/system.attached 2>/dev/null | grep vitrine");
    cr_expect_str_eq(host_output, "");
    cr_expect(host_stop(&host), "%s", host_output);
}

/* ---- hosts with fewer features ---- */

Test(attached, a_systemd_that_is_too_old_is_told_first) {
    struct host host = host_start();
    host_attach(&host);
    host_run(&host, "cp $(systemctl show --value --property=RootImage vitrine.service) /run/vitrine_1.raw");
    cr_assert_eq(host_run(&host,
                          "vitrinectl detach; mkdir -p /usr/local/sbin; "
                          "printf '#!/bin/sh\n[ \"$1\" != --version ] || { echo \"systemd 251 (251.4)\"; exit; }\n"
                          "exec /usr/bin/systemctl \"$@\"\n' >/usr/local/sbin/systemctl; "
                          "chmod 0755 /usr/local/sbin/systemctl"),
                 0, "%s", host_output);
    cr_expect_eq(host_run(&host, "vitrinectl attach /run/vitrine_1.raw"), 69, "%s", host_output);
    cr_expect(said("this host has systemd 251, but Vitrine needs 252 or newer; upgrade the system"), "%s", host_output);
    const char *end = strchr(host_output, '\n');
    cr_expect(!end || end[1] == '\0', "more than one sentence: %s", host_output);
    host_run(&host, "ls -A /var/lib/portables /etc/systemd/system.attached");
    cr_expect(!said("vitrine"), "something was attached: %s", host_output);
    cr_expect(host_stop(&host), "%s", host_output);
}

/* Most rented containers have no dm-verity. A host in a container behaves like them if it insists on it, as hosts
 * normally do. */
Test(attached, a_kernel_without_dm_verity_is_named) {
    struct host host = host_start();
    host_attach(&host);
    host_run(&host, "cp $(systemctl show --value --property=RootImage vitrine.service) /run/vitrine_1.raw");
    if (host_run(&host, "[ -e /sys/module/dm_verity ] && [ -e /dev/mapper/control ]") == 0) {
        host_stop(&host);
        cr_skip_test("the kernel has dm-verity");
    }
    cr_assert_eq(host_run(&host, "vitrinectl detach; rm /etc/systemd/system/vitrine*.service.d/99-host.conf; "
                                 "systemctl daemon-reload"),
                 0, "%s", host_output);
    cr_expect_eq(host_run(&host, "vitrinectl attach /run/vitrine_1.raw"), 70, "%s", host_output);
    cr_expect(said("this kernel has no dm-verity") && said("OTHER HOSTS in vitrinectl(8)"), "%s", host_output);
    host_run(&host, "ls -A /var/lib/portables /etc/systemd/system.attached /etc/systemd/system/vitrine*");
    cr_expect(!said("vitrine_") && !said("vitrinectl-root"), "something stayed: %s", host_output);
    cr_expect(host_stop(&host), "%s", host_output);
}
