/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "inside.h"

#define FILE_MAX 16384

static const struct {
    const char *name;
    size_t offset;
    bool is_number;
} keys[] = {
#define TEXT(name) {#name, offsetof(struct surroundings, name), false}
#define NUMBER(name) {#name, offsetof(struct surroundings, name), true}
    TEXT(decoy_token),      TEXT(host_file),           TEXT(host_folder),
    TEXT(host_secret),      TEXT(other_service_state), TEXT(key_mark),
    TEXT(image_folder),     TEXT(content_folder),      TEXT(mount_point),
    TEXT(program),          TEXT(setid_program),       TEXT(disk_folder),
    TEXT(terminal),         TEXT(tcp_public_address),  TEXT(abstract_socket),
    TEXT(unix_socket),      TEXT(dbus_socket),         TEXT(journal_socket),
    TEXT(posix_queue),      TEXT(keys_socket),         TEXT(own_key_name),
    TEXT(lacking),          NUMBER(tcp_loopback_port), NUMBER(tcp_public_port),
    NUMBER(udp_port),       NUMBER(bind_port),         NUMBER(victim_pid),
    NUMBER(victim_address), NUMBER(victim_descriptor), NUMBER(shared_memory),
    NUMBER(message_queue),  NUMBER(semaphore),         NUMBER(keys_descriptor),
    NUMBER(memory_limit),   NUMBER(task_limit),        NUMBER(descriptor_limit),
    NUMBER(cpu_limit),      NUMBER(disk_limit),        NUMBER(log_limit),
    NUMBER(signing_limit),  TEXT(readonly_mount),      TEXT(other_key_name),
#undef TEXT
#undef NUMBER
};

static bool read_number(const char *text, long *number) {
    bool negative = *text == '-';
    long value = 0;
    text += negative;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || value > (LONG_MAX - 9) / 10)
            return false;
        value = value * 10 + (*text - '0');
    }
    *number = negative ? -value : value;
    return true;
}

static bool take(struct surroundings *surroundings, const char *key, const char *value) {
    if (!strcmp(key, "key_file")) {
        for (size_t i = 0; i < SURROUNDINGS_KEY_FILES; i++) {
            if (!surroundings->key_files[i]) {
                surroundings->key_files[i] = value;
                return true;
            }
        }
        return false;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i].name))
            continue;
        char *place = (char *)surroundings + keys[i].offset;
        if (keys[i].is_number)
            return read_number(value, (long *)(void *)place);
        memcpy(place, &value, sizeof value);
        return true;
    }
    return false;
}

static bool complain(const char *what, const char *about) {
    reason_begin();
    reason_add(what);
    reason_add(about);
    return false;
}

bool surroundings_read(const char *path, struct surroundings *surroundings) {
    static char text[FILE_MAX + 1];
    size_t size = 0;
    ssize_t got;
    memset(surroundings, 0, sizeof *surroundings);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].is_number)
            memcpy((char *)surroundings + keys[i].offset, &(long){-1}, sizeof(long));
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return complain("cannot be opened: ", error_name(errno));
    while ((got = read(file, text + size, FILE_MAX - size)) > 0)
        size += (size_t)got;
    close(file);
    if (got < 0 || size == FILE_MAX)
        return complain("cannot be read, or is too long", "");
    for (char *line = text; *line;) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = '\0';
        char *equals = strchr(line, '=');
        if (*line && *line != '#') {
            if (!equals)
                return complain("a line is no key=value: ", line);
            *equals = '\0';
            if (!take(surroundings, line, equals + 1))
                return complain("means nothing, or not with this value: ", line);
        }
        line = next;
    }
    return true;
}
