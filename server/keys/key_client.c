/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "key_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/hostname.h"
#include "common/log.h"
#include "common/systemd.h"
#include "protocol/control.h"

#define ANSWER_WITHIN 12000 /* milliseconds; less than a service gets for stopping */

/*
 * Requests of a supervisor that are under way, so that the two processes do not wait for each other at each host. Their
 * answers, each as long as may be, fit into a socket as the kernel makes it: the key process leaves whoever takes none.
 */
#define REQUESTS_AT_ONCE 3

bool key_client_is_gone(int control) {
    struct pollfd end = {control, 0, 0};
    return poll(&end, 1, 0) == 1 && (end.revents & (POLLHUP | POLLERR)) != 0;
}

/* Logs a response that no key process of this version sends. */
static void complain_of(const char *host, bool foreign) {
    log_line(LOG_LEVEL_ERROR, "identity %s: the key process %s; run: systemctl restart vitrine-keys vitrine", host,
             foreign ? "is of another version" : "did not understand the request");
}

/* error: of the kernel; 0 if the time is over. */
static void complain_of_silence(const char *host, int error) {
    if (error == ECONNRESET || error == EPIPE) /* it has ended, or has as many servers as it may have */
        log_line(LOG_LEVEL_ERROR, "identity %s: the key process closed the connection; see its log, then try again",
                 host);
    else
        log_line(LOG_LEVEL_ERROR, "identity %s: the key process does not answer; check that it runs, then try again",
                 host);
}

/* Requests of one kind that are under way. They are answered in turn. */
struct inquiry {
    int control;
    enum control_command command;
    struct certificates *certificates;
    const char *hosts[REQUESTS_AT_ONCE]; /* by the remainders of their numbers */
    uint64_t first, next;                /* numbers: of the oldest request under way, and of the next one */
};

/* Returns 0 or -errno: -EAGAIN if there is no room, -EINVAL if the host does not fit. */
static int ask_for(struct inquiry *inquiry, const char *host) {
    struct control_request request;
    if (!control_ask(&request, inquiry->command, inquiry->next, inquiry->certificates->generation, host))
        return -EINVAL;
    int result = control_send(inquiry->control, &request, -1);
    if (result == 0)
        inquiry->hosts[inquiry->next++ % REQUESTS_AT_ONCE] = host;
    return result;
}

static bool is_asked(const struct inquiry *inquiry, const char *host) {
    bool found = false;
    for (uint64_t i = inquiry->first; i < inquiry->next && !found; i++)
        found = strcmp(inquiry->hosts[i % REQUESTS_AT_ONCE], host) == 0;
    return found;
}

/* Waits for an event. Meanwhile, notifies the service manager's watchdog. */
static void await(int control, short event, uint64_t give_up) {
    unsigned watchdog = systemd_watchdog_milliseconds();
    uint64_t slice = watchdog > 0 ? watchdog / 3 : ANSWER_WITHIN, now;
    while ((now = clock_milliseconds()) < give_up) {
        struct pollfd ready = {control, event, 0};
        if (poll(&ready, 1, (int)(give_up - now < slice ? give_up - now : slice)) != 0)
            return;
        if (watchdog > 0)
            systemd_notify("WATCHDOG=1");
    }
}

/*
 * Asks for hosts from `hosts` on, as many as may be under way; a host that came before in another spelling is known by
 * now. Returns how many are done with, or -errno if none can be asked for and no answer is to come.
 */
static ssize_t ask_some(struct inquiry *inquiry, char *const *hosts, size_t count, key_client_told *told,
                        void *context) {
    uint64_t give_up = clock_milliseconds() + ANSWER_WITHIN;
    size_t at = 0;
    while (at < count && inquiry->next - inquiry->first < REQUESTS_AT_ONCE) {
        bool known = certificates_find(inquiry->certificates, hosts[at]) || is_asked(inquiry, hosts[at]);
        int result = known ? 0 : ask_for(inquiry, hosts[at]);
        if (result == -EINVAL) {
            log_line(LOG_LEVEL_ERROR, "identity: host name too long (%zu bytes)", strlen(hosts[at]));
            told(hosts[at], KEY_CLIENT_HAVE_NONE, context);
        } else if (result < 0 && inquiry->first < inquiry->next) {
            break;
        } else if (result == -EAGAIN && clock_milliseconds() < give_up) {
            await(inquiry->control, POLLOUT, give_up);
            continue;
        } else if (result < 0) {
            complain_of_silence(hosts[at], -result);
            return result;
        }
        at++;
    }
    return (ssize_t)at;
}

/*
 * Waits for the response to the oldest request under way; skips older ones. Returns false after logging the reason if
 * there is none.
 */
static bool hear(struct inquiry *inquiry, struct control_response *response) {
    const char *host = inquiry->hosts[inquiry->first % REQUESTS_AT_ONCE];
    uint64_t give_up = clock_milliseconds() + ANSWER_WITHIN;
    int error = 0;
    while (clock_milliseconds() < give_up) {
        ssize_t got = recv(inquiry->control, response, sizeof *response, MSG_TRUNC | MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) {
            await(inquiry->control, POLLIN, give_up);
            continue;
        }
        if (got <= 0) {
            error = got < 0 ? errno : ECONNRESET;
            break;
        }
        if (!control_response_is_valid(response, (size_t)got) || response->result == CONTROL_REFUSED) {
            complain_of(host, control_response_is_foreign(response, (size_t)got));
            return false;
        }
        if (response->request_id == inquiry->first) {
            inquiry->first++;
            return true;
        }
    }
    complain_of_silence(host, error);
    return false;
}

static enum key_client_answer take_response(struct certificates *certificates, const char *host,
                                            struct control_response *response) {
    if (response->result == CONTROL_UNUSABLE)
        return KEY_CLIENT_UNUSABLE;
    if (response->result != CONTROL_PROVIDED || strcmp(response->host, host) != 0)
        return KEY_CLIENT_HAVE_NONE;
    struct certificate certificate = control_certificate(response);
    return certificates_add(certificates, &certificate) ? KEY_CLIENT_PROVIDED : KEY_CLIENT_HAVE_NONE;
}

static bool inquire(int control, enum control_command command, char *const *hosts, size_t count,
                    struct certificates *certificates, key_client_told *told, void *context) {
    static struct control_response response;
    static uint64_t next = 1;
    struct inquiry inquiry = {
        .control = control, .command = command, .certificates = certificates, .first = next, .next = next};
    size_t at = 0;
    bool answers = true;
    while (answers && (at < count || inquiry.first < inquiry.next)) {
        ssize_t asked = ask_some(&inquiry, hosts + at, count - at, told, context);
        at += asked > 0 ? (size_t)asked : 0;
        answers = asked >= 0;
        if (!answers || inquiry.first == inquiry.next)
            continue;
        const char *host = inquiry.hosts[inquiry.first % REQUESTS_AT_ONCE];
        answers = hear(&inquiry, &response);
        if (answers)
            told(host, take_response(certificates, host, &response), context);
    }
    next = inquiry.next;
    return answers;
}

bool key_client_provide(int control, char *const *hosts, size_t count, struct certificates *certificates,
                        key_client_told *told, void *context) {
    return inquire(control, CONTROL_PROVIDE, hosts, count, certificates, told, context);
}

static void note_answer(const char *host, enum key_client_answer answer, void *context) {
    (void)host;
    *(enum key_client_answer *)context = answer;
}

enum key_client_answer key_client_provide_sample(int control, const char *host, struct certificates *certificates) {
    enum key_client_answer answer = KEY_CLIENT_HAVE_NONE;
    char name[HOSTNAME_MAX + 1], *const hosts[] = {name};
    snprintf(name, sizeof name, "%s", host);
    return inquire(control, CONTROL_PROVIDE_SAMPLE, hosts, 1, certificates, note_answer, &answer) ? answer
                                                                                                  : KEY_CLIENT_SILENT;
}

void key_client_refresh(int control) {
    struct control_request request;
    /* Requests are answered in order, so this one needs no response. If it fails, the next request reports it. */
    if (control_ask(&request, CONTROL_REFRESH, 0, 0, NULL))
        control_send(control, &request, -1);
}

void key_client_prepare(int control, const char *host) {
    struct control_request request;
    struct pollfd room = {control, POLLOUT, 0};
    if (!control_ask(&request, CONTROL_PREPARE, 0, 0, host))
        return;
    while (control_send(control, &request, -1) == -EAGAIN && poll(&room, 1, ANSWER_WITHIN) == 1)
        continue;
}

int key_client_attach(int control, int channel, const struct certificates *certificates) {
    struct control_request request;
    if (!control_ask(&request, CONTROL_ATTACH, 0, certificates->generation, NULL))
        return -EINVAL;
    return control_send(control, &request, channel);
}
