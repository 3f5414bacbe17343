/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * A Gemini client for tests, on OpenSSL: another TLS implementation than the server's. It sees what a usual client
 * hides: whether close_notify came, how the bytes were cut, which alert was sent. No wait is unbounded.
 *
 * A conversation is: gemini_connect, gemini_shake_hands, gemini_send, gemini_receive, gemini_end. gemini_fetch is all
 * of them. Certificates are not judged (trust on first use is the caller's affair), only shown.
 */

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEMINI_PATIENCE 60000            /* milliseconds for one step, when the way does not say otherwise */
#define GEMINI_META_MAX 1024             /* bytes */
#define GEMINI_FINGERPRINT_SIZE (32 * 3) /* SHA-256 as "AB:CD:..." with its NUL */

/* How to reach a server and how to speak with it. Zeroes and NULLs are the usual way. */
struct gemini_way {
    const char *address; /* numeric, IPv4 or IPv6; NULL: 127.0.0.1 */
    uint16_t port;
    const char *source;                 /* numeric IPv4 address to come from; NULL: any */
    const char *server_name;            /* for SNI; NULL: none is sent */
    int oldest_version, newest_version; /* TLS1_2_VERSION and so on; 0: what OpenSSL speaks */
    const char *groups;                 /* for the key exchange, OpenSSL's names; NULL: its own choice */
    const char *identity;               /* file (PEM) with certificate, its chain if any, and key; NULL: none */
    size_t piece;       /* send at most so many bytes at once, each by itself; 0: as many as there are */
    int receive_buffer; /* SO_RCVBUF in bytes; 0: what the system chooses */
    unsigned patience;  /* milliseconds for each step; 0: GEMINI_PATIENCE */
    bool holds_back;    /* a small segment waits until the one before is acknowledged (RFC 896), as with most clients */
};

/* How far a conversation came. */
enum gemini_progress {
    GEMINI_OPEN,         /* it goes on */
    GEMINI_CLOSE_NOTIFY, /* ended as it should: the peer sent close_notify (RFC 8446, 6.1) */
    GEMINI_CUT_OFF,      /* the connection ended without close_notify */
    GEMINI_RESET,        /* the connection was reset */
    GEMINI_BROKEN,       /* TLS failed: an alert, or bytes that are no TLS */
    GEMINI_TOO_LATE,     /* nothing more came in time */
};

struct gemini_client {
    struct gemini_way way;
    enum gemini_progress progress;
    int socket; /* not blocking; -1: no connection came about */
    SSL_CTX *context;
    SSL *session;
    BIO *from_peer, *to_peer; /* owned by session */
    size_t raw_received;      /* bytes of the connection, TLS included */
    size_t receptions;        /* how many recv calls brought bytes */
    int alert;                /* description of the fatal alert that the peer sent (RFC 8446, 6.2); -1: none */
    unsigned tickets;         /* session tickets that the peer gave out */
    uint32_t early_data;      /* bytes of early data that the last ticket allows */
};

struct gemini_reply {
    enum gemini_progress progress;
    bool connection_ended; /* after close_notify the connection was closed too, and nothing stood between */
    char *bytes;           /* everything that came, with a NUL behind it; NULL: nothing */
    size_t size;
    int status; /* 0: there is no proper header (two digits, then CRLF or a space, META and CRLF) */
    char meta[GEMINI_META_MAX + 1];
    const char *body; /* within bytes */
    size_t body_size;
};

/* Opens the TCP connection. Returns NULL when that fails; errno tells why. The strings of `way` must stay. */
struct gemini_client *gemini_connect(const struct gemini_way *way);

/* The TLS handshake. False: `progress` and `alert` tell how it failed. */
bool gemini_shake_hands(struct gemini_client *client);

/* Sends bytes as TLS records, each of at most way.piece bytes. False: the peer took no more. */
bool gemini_send(struct gemini_client *client, const void *bytes, size_t size);

/* Sends bytes past TLS. False: the peer took no more. */
bool gemini_send_raw(struct gemini_client *client, const void *bytes, size_t size);

/*
 * Receives until the end, or until the reply has at least `enough` bytes (0: until the end). `reply` holds zeroes at
 * first and grows with every call; end it with gemini_reply_end. Returns reply->progress.
 */
enum gemini_progress gemini_receive(struct gemini_client *client, struct gemini_reply *reply, size_t enough);

/* Receives past TLS until the end. Returns how many bytes came; `progress` tells how it ended. */
size_t gemini_receive_raw(struct gemini_client *client);

/* Closes the connection and frees everything. NULL is fine. */
void gemini_end(struct gemini_client *client);

/* One whole conversation: `request` has `size` bytes, CRLF included. Fills in `reply`; end it with gemini_reply_end. */
enum gemini_progress gemini_fetch(const struct gemini_way *way, const void *request, size_t size,
                                  struct gemini_reply *reply);

void gemini_reply_end(struct gemini_reply *reply);

/* What the peer's certificate is; after the handshake. */
void gemini_fingerprint(const struct gemini_client *client, char fingerprint[static GEMINI_FINGERPRINT_SIZE]);

/* Milliseconds of a clock that only goes forward. */
uint64_t gemini_now(void);
