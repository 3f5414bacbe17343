/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A crowd of visitors who mean ill, in a process of their own, against a server on 127.0.0.1. Each goes an honest way
 * up to some point and then does one of the things that wear servers down. Number and time are bounded.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How far a visitor goes as an honest one would, with TLS 1.3. */
enum attack_point {
    POINT_CONNECTED,
    POINT_GREETING,  /* half of the ClientHello is sent */
    POINT_GREETED,   /* all of it */
    POINT_FINISHING, /* half of the client's Finished */
    POINT_SHAKEN,    /* the handshake is over */
    POINT_ASKING,    /* half of the request */
    POINT_ASKED,     /* all of it */
    POINT_READING,   /* the first bytes of the reply have come */
    POINT_COUNT,
    POINT_EACH = POINT_COUNT, /* one visitor this far, the next one that far */
};

/* What follows. */
enum attack_deed {
    DEED_SILENCE,    /* nothing more is sent, and nothing read */
    DEED_DRIBBLE,    /* the rest comes byte by byte, with a pause after each */
    DEED_SIP,        /* the rest is sent, and what comes is read byte by byte, with a pause after each */
    DEED_GARBAGE,    /* bytes that mean nothing */
    DEED_ALERT,      /* a TLS alert in plain text, then silence */
    DEED_RESET,      /* the connection is reset */
    DEED_HALF_CLOSE, /* no more will be sent, what comes is read */
    DEED_LEAVE,      /* the connection is closed */
    DEED_HANG_UP,    /* nothing more for 20 milliseconds, in which the server begins its work; then a reset */
    DEED_REKEY,      /* new keys are asked for, many times, and no answer is read; only behind a handshake */
    DEED_RECORDED,   /* bytes that were recorded are sent once more */
};

struct attack {
    uint16_t port;
    const char *request; /* with CRLF */
    size_t crowd;        /* visitors at once; whoever is sent away, or has gone, is replaced */
    size_t most;         /* visitors in all */
    unsigned
        duration; /* milliseconds, and until all have come; from then on nobody is replaced, but who is there stays */
    enum attack_point point;
    enum attack_deed deed;
    const void *recorded; /* for DEED_RECORDED */
    size_t recorded_size;
    size_t proxied_addresses; /* a PROXY protocol header names one of so many addresses; 0: there is none */
    size_t proxied_prefixes;  /* and these lie in so many IPv6 /48s; 0: they are IPv4 */
};

/* What it came to, written while it goes on. */
struct attack_course {
    _Atomic size_t begun;   /* connections */
    _Atomic size_t arrived; /* those that came to the point */
    _Atomic size_t ended;   /* those that the server closed or reset */
    _Atomic size_t refused; /* could not be opened */
    _Atomic int over;       /* the duration has passed */
};

/* Starts it. It stays, with the connections that are open, until attack_end. */
pid_t attack_begin(const struct attack *attack, struct attack_course **course);

void attack_end(pid_t process, struct attack_course *course);

/* How many seconds an attack is to last, at full rate: make attacks says so. 0: as long as the test finds right. */
unsigned attack_seconds(void);

/* What an honest client met beside an attack. Times in microseconds, memory of the server in kB. */
struct attack_effect {
    const char *attack;
    uint64_t whole_quiet, whole_beside; /* medians */
    uint64_t quiet, beside;             /* the same without the time in which a process had no processor */
    size_t visits, failed;
    size_t memory_before, memory_after;
};

/* A line of the table of make attacks, where that is wanted. */
void attack_tell(const struct attack_effect *effect);
