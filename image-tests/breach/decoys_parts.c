/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "decoys.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "calls.h"

static FILE *victim_heard;

static void victim_hears(int signal) {
    fprintf(victim_heard, "victim: signal %d\n", signal);
    fflush(victim_heard);
}

int be_victim(const char *heard_path) {
    static char in_memory[128]; /* the token, and at offset 64 the bytes that attempts may change */
    strcpy(in_memory, getenv("BREACH_DECOY"));
    victim_heard = fopen(heard_path, "ae");
    if (!victim_heard)
        err(EX_CANTCREAT, "%s", heard_path);
    signal(SIGURG, victim_hears);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    printf("%ld\n", (long)in_memory);
    fflush(stdout);
    for (bool changed = false;;) {
        usleep(100000);
        if (!changed && in_memory[64]) {
            changed = true;
            fprintf(victim_heard, "victim: its memory was changed\n");
            fflush(victim_heard);
        }
    }
}

/* Uses meaningless arguments: all that matters is whether the call fails with ENOSYS. */
void tell_lacking(FILE *surroundings) {
    static const struct {
        const char *name;
        long number;
    } calls[] = {
#define CALL(name) {#name, SYS_##name}
        CALL(bpf),
        CALL(io_uring_setup),
        CALL(userfaultfd),
        CALL(perf_event_open),
        CALL(add_key),
        CALL(request_key),
        CALL(keyctl),
        CALL(init_module),
        CALL(finit_module),
        CALL(delete_module),
        CALL(kexec_load),
        CALL(kexec_file_load),
        CALL(quotactl),
        CALL(name_to_handle_at),
        CALL(open_by_handle_at),
        CALL(fanotify_init),
        CALL(memfd_secret),
        CALL(kcmp),
        CALL(swapon),
        CALL(acct),
        CALL(fsopen),
        CALL(fspick),
        CALL(open_tree),
        CALL(mount_setattr),
        CALL(move_mount),
        CALL(pidfd_open),
        CALL(pidfd_getfd),
        CALL(pkey_mprotect),
        CALL(process_vm_readv),
        CALL(process_vm_writev),
        CALL(shmget),
        CALL(msgget),
        CALL(semget),
        CALL(mq_open),
        CALL(inotify_add_watch),
        CALL(clone3),
        CALL(remap_file_pages),
        CALL(syslog),
#ifdef __x86_64__
        CALL(modify_ldt),
        CALL(iopl),
        CALL(ioperm),
        {"x32 getpid", 0x40000000 | SYS_getpid},
#endif
#undef CALL
    };
    bool any = false;
    fprintf(surroundings, "lacking=");
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != ENOSYS)
            continue;
        fprintf(surroundings, "%s%s", any ? "," : "", calls[i].name);
        any = true;
    }
    static const char *const files[] = {"kcore", "sysrq-trigger", "slabinfo", "kallsyms"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%s", files[i]);
        if (access(path, F_OK) == 0)
            continue;
        fprintf(surroundings, "%s%s", any ? "," : "", files[i]);
        any = true;
    }
    fprintf(surroundings, "%s\n", any ? "" : "none");
}
