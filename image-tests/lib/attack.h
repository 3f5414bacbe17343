/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A crowd of hostile clients, in a process of their own, against a server on 127.0.0.1. Each behaves honestly up to
 * some point, and then does one of the things that wear servers down. Their number and time are limited.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How far a client behaves honestly, with TLS 1.3. */
enum attack_point {
    POINT_CONNECTED,
    POINT_GREETING,  /* half of the ClientHello was sent */
    POINT_GREETED,   /* all of it */
    POINT_FINISHING, /* half of the client's Finished */
    POINT_SHAKEN,    /* the handshake is complete */
    POINT_ASKING,    /* half of the request */
    POINT_ASKED,     /* all of it */
    POINT_READING,   /* the first bytes of the response have arrived */
    POINT_COUNT,
    POINT_EACH = POINT_COUNT, /* each client goes to a different point */
};

/* What the client does next. */
enum attack_deed {
    DEED_SILENCE,    /* sends nothing more, and reads nothing */
    DEED_DRIBBLE,    /* sends the rest byte by byte, with a pause after each */
    DEED_SIP,        /* sends the rest, and reads the response byte by byte, with a pause after each */
    DEED_GARBAGE,    /* sends random bytes */
    DEED_ALERT,      /* sends a TLS alert in plain text, then nothing */
    DEED_RESET,      /* resets the connection */
    DEED_HALF_CLOSE, /* closes its sending half, and reads */
    DEED_LEAVE,      /* closes the connection */
    DEED_HANG_UP,    /* waits 20 milliseconds, in which the server begins its work, then resets */
    DEED_REKEY,      /* requests new keys many times, and reads no answer; only after a handshake */
    DEED_RECORDED,   /* sends recorded bytes again */
};

struct attack {
    uint16_t port;
    const char *request; /* with CRLF */
    size_t crowd;        /* clients at once; those that are refused or have ended are replaced */
    size_t most;         /* clients in total */
    unsigned duration; /* milliseconds, or longer until all have connected; after that, clients stay, but are no longer
                          replaced */
    enum attack_point point;
    enum attack_deed deed;
    const void *recorded; /* for DEED_RECORDED */
    size_t recorded_size;
    size_t proxied_addresses; /* number of addresses in PROXY protocol headers; 0: no headers */
    size_t proxied_prefixes;  /* number of IPv6 /48s for these addresses; 0: they are IPv4 */
};

/* Results, updated during the attack. */
struct attack_course {
    _Atomic size_t begun;   /* connections */
    _Atomic size_t arrived; /* those that reached the point */
    _Atomic size_t ended;   /* those that the server closed or reset */
    _Atomic size_t refused; /* those that could not be opened */
    _Atomic int over;       /* the duration has passed */
};

/* Starts the attack. The process and its open connections stay until attack_end. */
pid_t attack_begin(const struct attack *attack, struct attack_course **course);

void attack_end(pid_t process, struct attack_course *course);

/* Returns how many seconds an attack must last at full rate, as set by make attacks. 0: the test decides. */
unsigned attack_seconds(void);

/* How an honest client fared during an attack. Times in microseconds, memory of the server in kB. */
struct attack_effect {
    const char *attack;
    uint64_t whole_quiet, whole_beside; /* medians */
    uint64_t quiet, beside;             /* the same, without the time in which a process waited for a processor */
    size_t visits, failed;
    size_t memory_before, memory_after;
};

/* Prints a row of the table of make attacks, if it runs. */
void attack_tell(const struct attack_effect *effect);
