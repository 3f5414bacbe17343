/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A Gemini client for tests, on OpenSSL: a different TLS implementation than the server's. It reports what other
 * clients hide: whether close_notify arrived, how the bytes were split, which alert was sent. Every wait has a limit.
 *
 * A conversation consists of gemini_connect, gemini_shake_hands, gemini_send, gemini_receive and gemini_end.
 * gemini_fetch does all of them. It returns certificates without judging them (the caller may trust on first use).
 */

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEMINI_PATIENCE 60000            /* milliseconds for one step, unless the way says otherwise */
#define GEMINI_META_MAX 1024             /* bytes */
#define GEMINI_FINGERPRINT_SIZE (32 * 3) /* SHA-256 as "AB:CD:..." with its NUL */

/* How to reach a server and talk to it. Zeroes and NULLs are the defaults. */
struct gemini_way {
    const char *address; /* numeric, IPv4 or IPv6; NULL: 127.0.0.1 */
    uint16_t port;
    const char *source;                 /* numeric IPv4 address to connect from; NULL: any */
    const char *server_name;            /* for SNI; NULL: send none */
    int oldest_version, newest_version; /* TLS1_2_VERSION and so on; 0: OpenSSL's default */
    const char *groups;                 /* for the key exchange, OpenSSL's names; NULL: its own choice */
    const char *cipher;                 /* the only one that the client offers, OpenSSL's name; NULL: its own choice */
    const char *identity;               /* file (PEM) with certificate, its chain if any, and key; NULL: none */
    size_t piece;                       /* maximum bytes of each send; 0: no limit */
    int receive_buffer;                 /* SO_RCVBUF in bytes; 0: the system's default */
    unsigned patience;                  /* milliseconds for each step; 0: GEMINI_PATIENCE */
    bool holds_back; /* a small segment waits until the previous one is acknowledged (RFC 896), as in most clients */
};

/* The state of a conversation. */
enum gemini_progress {
    GEMINI_OPEN,         /* it continues */
    GEMINI_CLOSE_NOTIFY, /* ended properly: the server sent close_notify (RFC 8446, 6.1) */
    GEMINI_CUT_OFF,      /* the connection ended without close_notify */
    GEMINI_RESET,        /* the connection was reset */
    GEMINI_BROKEN,       /* TLS failed: an alert, or bytes that are not TLS */
    GEMINI_TOO_LATE,     /* nothing more came in time */
};

struct gemini_client {
    struct gemini_way way;
    enum gemini_progress progress;
    int socket; /* non-blocking; -1: no connection */
    SSL_CTX *context;
    SSL *session;
    BIO *from_peer, *to_peer; /* owned by session */
    size_t raw_received;      /* bytes of the connection, TLS included */
    size_t receptions;        /* how many recv calls brought bytes */
    int alert;                /* description of the fatal alert that the peer sent (RFC 8446, 6.2); -1: none */
    unsigned tickets;         /* session tickets that the server sent */
    uint32_t early_data;      /* bytes of early data that the last ticket allows */
};

struct gemini_reply {
    enum gemini_progress progress;
    bool connection_ended; /* the connection was closed right after close_notify */
    char *bytes;           /* everything received, with a NUL after it; NULL: nothing */
    size_t size;
    int status; /* 0: no valid header (two digits, then CRLF or a space, META and CRLF) */
    char meta[GEMINI_META_MAX + 1];
    const char *body; /* within bytes */
    size_t body_size;
};

/* Opens the TCP connection. Returns NULL with errno on failure. The strings of `way` must stay valid. */
struct gemini_client *gemini_connect(const struct gemini_way *way);

/* Does the TLS handshake. Returns false on failure; `progress` and `alert` say how it failed. */
bool gemini_shake_hands(struct gemini_client *client);

/* Sends bytes as TLS records, each of at most way.piece bytes. Returns false if the server accepts no more. */
bool gemini_send(struct gemini_client *client, const void *bytes, size_t size);

/* Sends bytes without TLS. Returns false if the server accepts no more. */
bool gemini_send_raw(struct gemini_client *client, const void *bytes, size_t size);

/*
 * Receives until the end, or until the response has at least `enough` bytes (0: until the end). `reply` is all zero at
 * first and grows with every call; free it with gemini_reply_end. Returns reply->progress.
 */
enum gemini_progress gemini_receive(struct gemini_client *client, struct gemini_reply *reply, size_t enough);

/* Receives without TLS until the end. Returns the number of bytes; `progress` says how it ended. */
size_t gemini_receive_raw(struct gemini_client *client);

/* Closes the connection and frees everything. NULL is allowed. */
void gemini_end(struct gemini_client *client);

/* One whole conversation: `request` has `size` bytes, with CRLF. Sets `reply`; free it with gemini_reply_end. */
enum gemini_progress gemini_fetch(const struct gemini_way *way, const void *request, size_t size,
                                  struct gemini_reply *reply);

void gemini_reply_end(struct gemini_reply *reply);

/* Returns the fingerprint of the server's certificate, after the handshake. */
void gemini_fingerprint(const struct gemini_client *client, char fingerprint[static GEMINI_FINGERPRINT_SIZE]);

/* Returns milliseconds of a monotonic clock. */
uint64_t gemini_now(void);
