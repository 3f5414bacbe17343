/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whole visits in memory: the server's connection.c, tls.c, signing_client.c and the code that they use, including
 * wolfSSL; and OpenSSL as two clients (tls_client.h), whose records can be changed on the way. The target plays the
 * worker's event loop, the sockets, and the key process. The input is a list of commands, each a letter and its
 * arguments (N: a number, one byte; PP: a place, two bytes):
 *
 * Properties of the client, before it sends anything:
 *   2 3      only TLS 1.2, only 1.3
 *   m p r n  groups: hybrid, P-256, one that needs a HelloRetryRequest, none in common
 *   u a      server name: unknown host, none
 *   E S      server name: the host with an Ed25519 identity, with an RSA identity
 *   c 4 5    it sends a certificate; 4 and 5: of another key type (RSA, Ed25519)
 *   l        it sends a certificate without having its key
 *   VPPC     it sends a certificate in which byte P is changed by C
 *   x        it also sends the certificate of a new authority
 *   k        only ChaCha20
 *   f MN     small records; a maximum fragment length (RFC 6066)
 *   zINbytes an extension from a list, with N bytes
 *   P        it connects to a port with PROXY protocol
 *   O        the server speaks no TLS 1.2
 *   Y        change_cipher_spec follows its first message, as TLS 1.3 allows
 * What it sends:
 *   qN       a request from a list
 *   Qtext;   this text
 *   C        close_notify
 *   KN       N key updates, each of which requests one in return
 *   N        renegotiation (TLS 1.2)
 *   h        it reads and responds
 *   pPPC     byte P of the next record is changed by C before it is encrypted
 *   ITNbytes these bytes, encrypted in a record of type T (TLS 1.3)
 * Changes on the way:
 *   w        everything is delivered, and everybody acts until nothing changes any more
 *   tN TPP   so many bytes are delivered
 *   bPPC     byte P is changed by C
 *   d D o    the first record is dropped, repeated, swapped with the next
 *   gNbytes  these bytes come before all others
 *   yTNbytes a record of type T with these bytes comes before all others
 *   e R      the client closes its side, resets the connection
 * What happens to the server:
 *   s        the worker runs once
 *   v        it is woken without a reason
 *   i        the next system call is interrupted
 *   G        the next allocation fails
 *   LN U     N more bytes can be sent, any number
 *   jPP J    files end at P, no longer
 *   H        signatures are held back
 *   A F B Z  a signature is given, refused, wrong; a nonsense answer arrives
 *   +N       N seconds pass
 *   X        the connection's time is over
 *   @        the following commands are for the other client
 */
#include "fuzz.h"

#include "visit.h"

static const char *const requests[] = {
    "gemini://localhost/\r\n",
    "gemini://localhost/large.txt\r\n",
    "gemini://localhost/record.txt\r\n",
    "gemini://localhost/empty.gmi\r\n",
    "gemini://localhost/list/\r\n",
    "gemini://localhost/list\r\n",
    "gemini://localhost/old.gmi\r\n",
    "gemini://localhost/name\r\n",
    "gemini://localhost/private/\r\n",
    "gemini://localhost/missing\r\n",
    "gemini://other.test/\r\n",
    "gemini://localhost:1/\r\n",
    "https://localhost/\r\n",
    "gemini://localhost/%00\r\n",
    "gemini://localhost/odd.gmi\r\nand more",
    "gemini://localhost",
    "/\r\n",
};

/* ---- what the client must receive ---- */

/* The server's verdict on what the client has sent so far. */
static enum request_verdict parse(const struct tls_client *tls_client, struct request *request) {
    size_t size = tls_client->told < REQUEST_LINE_MAX + 2 ? tls_client->told : REQUEST_LINE_MAX + 2;
    enum request_verdict verdict = request_parse(tls_client->said, size, request);
    if (verdict == REQUEST_INCOMPLETE && size > REQUEST_LINE_MAX) {
        verdict = REQUEST_MALFORMED;
        request->problem = "the request is longer than 1024 bytes";
    }
    return verdict;
}

static bool has_asked(const struct visit *visit) {
    static struct request request;
    return visit->tls_client.told == visit->tls_client.said_size &&
           parse(&visit->tls_client, &request) != REQUEST_INCOMPLETE;
}

/*
 * Computes the response that the client must receive, with the server's own parts. Returns its size, or 0 if there is
 * none yet. whole: how much of it arrives if files end early.
 */
static size_t expect(const struct visit *visit, char expected[static HEARD_MAX], size_t *whole) {
    static struct request request;
    struct response response = {.client = visit->tls_client.client, .reply.body = -1};
    struct connection connection = {.port = visit->proxied ? PROXY_PORT : PORT, .response = &response};
    struct reply *reply = &response.reply;
    enum request_verdict verdict = parse(&visit->tls_client, &request);
    *whole = 0;
    if (verdict == REQUEST_INCOMPLETE)
        return 0;
    decide(&connection, &context, verdict, &request);
    size_t header = reply_header(reply, expected), size = 0;
    HOLDS(reply_status_exists((int)reply->status) && reply_meta_is_clean(reply->meta));
    if (reply->status == STATUS_SUCCESS)
        size = reply->body_size;
    *whole = header + (reply->text || size < file_end ? size : file_end);
    HOLDS(size < HEARD_MAX - header);
    if (reply->text)
        memcpy(expected + header, reply->text->bytes, size);
    else if (size > 0)
        HOLDS(pread(reply->body, expected + header, size, 0) == (ssize_t)size);
    reply_dispose(reply);
    return header + size;
}

/* Checks a complete reply for its form only, if the server may have received a different request. */
static void check_form(const struct tls_client *tls_client) {
    char meta[REPLY_META_MAX + 1] = "";
    const char *heard = tls_client->heard, *stop = memmem(heard, tls_client->heard_size, "\r\n", 2);
    HOLDS(stop && stop - heard >= 2 && stop - heard <= REPLY_HEADER_MAX - 2);
    int status = (heard[0] - '0') * 10 + heard[1] - '0';
    if (stop - heard > 3)
        memcpy(meta, heard + 3, (size_t)(stop - heard - 3));
    HOLDS(reply_status_exists(status) && reply_meta_is_clean(meta) && (heard[2] == ' ' || stop == heard + 2));
    HOLDS(status == STATUS_SUCCESS || stop + 2 == heard + tls_client->heard_size);
}

/* In this build, an AES key encrypts only one record (mk/fuzz-programs.mk), so long responses must use several keys. */
static bool has_enough_keys(const struct tls_client *tls_client) {
    return tls_client->heard_size == 0 || SSL_version(tls_client->session) != TLS1_3_VERSION ||
           !strstr(SSL_get_cipher_name(tls_client->session), "AES") ||
           tls_client->new_keys >= (tls_client->heard_size - 1) / TLS_RECORD_MAX;
}

/* Compares what the client has received with what it must receive. */
static void judge(const struct visit *visit) {
    static char expected[HEARD_MAX];
    const struct tls_client *tls_client = &visit->tls_client;
    size_t whole = 0, size = tls_client->told > 0 ? expect(visit, expected, &whole) : 0;
    HOLDS(visit->replies <= 1);
    if (visit->disguised) {
        if (tls_client->shutdown_grace && tls_client->heard_size > 0)
            check_form(tls_client);
        return;
    }
    /*
     * Even if something was changed on the way, the received bytes must be a correct beginning, and a close_notify must
     * mean that it is complete.
     */
    HOLDS(tls_client->heard_size <= size && memcmp(tls_client->heard, expected, tls_client->heard_size) == 0);
    if (tls_client->shutdown_grace && tls_client->heard_size > 0)
        HOLDS(tls_client->heard_size == size && visit->complete);
    if (visit->altered || visit->hasty || visit->reset)
        return;
    HOLDS(tls_client->finished && !tls_client->failed);
    HOLDS(tls_client->heard_size == whole && visit->replies == (size > 0));
    HOLDS(has_enough_keys(tls_client));
    if (size > 0)
        HOLDS(visit->complete == (whole == size) && tls_client->shutdown_grace == (whole == size));
    else
        HOLDS(tls_client->shutdown_grace == visit->early);
}

static void end_visits(void) {
    for (size_t i = 0; i < VISITS; i++)
        visits[i].room = UNLIMITED;
    held_back = memory_short = false;
    settle();
    while (give_signature('A'))
        settle();
    for (size_t i = 0; i < VISITS; i++) {
        if (visits[i].begun)
            judge(&visits[i]);
        visits[i].left = true;
    }
    settle();
    for (size_t i = 0; i < VISITS; i++) {
        HOLDS(!visits[i].connection && (!visits[i].begun || visits[i].closed || visits[i].hasty));
        tls_client_end(&visits[i].tls_client);
    }
    HOLDS(question_count == 0 && signing_client.unsent_count == 0);
    for (size_t i = 0; i < SIGNING_CLIENT_UNDER_WAY; i++)
        HOLDS(!signing_client.slots[i].taken);
    HOLDS(counters.answered + counters.broken_off == visits[0].replies + visits[1].replies);
    HOLDS(quota_table.open == 0);
}

/* ---- commands of the input ---- */

static const uint8_t *at, *end;

static uint8_t take(void) {
    return at < end ? *at++ : 0;
}

static uint16_t take_place(void) {
    uint16_t high = take();
    return (uint16_t)(high << 8 | take());
}

static size_t take_bytes(const uint8_t **bytes, size_t size) {
    if (size > (size_t)(end - at))
        size = (size_t)(end - at);
    *bytes = at;
    at += size;
    return size;
}

static void say(struct tls_client *tls_client, const void *text, size_t size) {
    if (size <= SAID_MAX - tls_client->said_size && size > 0) {
        memcpy(tls_client->said + tls_client->said_size, text, size);
        tls_client->said_size += size;
    }
}

/* Applies a choice about the client. Returns false if the letter is none. */
static bool choose(struct visit *visit, uint8_t letter) {
    struct tls_client *tls_client = &visit->tls_client;
    static const char *const groups[] = {"X25519MLKEM768:X25519:P-256", "P-256", "P-384:P-256", "P-384"};
    static const char letters[] = "mprn";
    const char *group = letter ? strchr(letters, letter) : NULL;
    const uint8_t *bytes;
    if (group) {
        strcpy(tls_client->groups, groups[group - letters]);
        visit->hasty |= letter == 'n';
        return true;
    }
    switch (letter) {
    case '2':
    case '3':
        tls_client->version = letter == '2' ? TLS1_2_VERSION : TLS1_3_VERSION;
        return true;
    case 'u':
        strcpy(tls_client->name, "unknown.test");
        return true;
    case 'a':
        tls_client->name[0] = '\0';
        return true;
    case 'E':
        strcpy(tls_client->name, "ed25519.test");
        return true;
    case 'S':
        strcpy(tls_client->name, "rsa.test");
        return true;
    case 'V':
        tls_client->changed_at = take_place();
        tls_client->changed_by = take();
        tls_client->has_certificate = visit->altered = true;
        return true;
    case 'l':
        tls_client->is_liar = tls_client->has_certificate = visit->altered = true;
        tls_client->kind = 0;
        return true;
    case 'c':
    case '4':
    case '5':
        tls_client->has_certificate = true;
        tls_client->is_liar = false;
        tls_client->kind = letter == 'c' ? 0 : letter - '3';
        return true;
    case 'x':
        tls_client->has_chain = true;
        return true;
    case 'k':
        tls_client->chacha = true;
        return true;
    case 'f':
        tls_client->small = true;
        return true;
    case 'M':
        tls_client->fragment = 1 + take() % 4u;
        return true;
    case 'z':
        tls_client->extension = extensions[take() % (sizeof extensions / sizeof *extensions)];
        tls_client->extension_size = take_bytes(&bytes, take());
        memcpy(tls_client->extension_bytes, bytes, tls_client->extension_size);
        visit->altered = true;
        return true;
    case 'Y':
        tls_client->changes_early = true;
        return true;
    case 'P':
        visit->proxied = true;
        return true;
    case 'O':
        visit->only_1_3 = true;
        return true;
    default:
        return false;
    }
}

static bool speak(struct visit *visit, uint8_t letter) {
    struct tls_client *tls_client = &visit->tls_client;
    const uint8_t *stop, *bytes;
    uint8_t type;
    const char *request;
    unsigned count;
    switch (letter) {
    case 'q':
        request = requests[take() % (sizeof requests / sizeof *requests)];
        say(tls_client, request, strlen(request));
        break;
    case 'Q':
        stop = memchr(at, ';', (size_t)(end - at));
        say(tls_client, at, (size_t)((stop ? stop : end) - at));
        at = stop ? stop + 1 : end;
        break;
    case 'C':
        visit->early |= tls_client->finished && tls_client->said_size == 0;
        visit->hasty |= !visit->early && !has_asked(visit);
        SSL_shutdown(tls_client->session);
        break;
    case 'K':
        count = take();
        visit->hasty |= (visit->updates += count) > UPDATES_MAX;
        for (; tls_client->finished && count > 0; count--) {
            if (SSL_key_update(tls_client->session, SSL_KEY_UPDATE_REQUESTED) == 1)
                SSL_do_handshake(tls_client->session);
        }
        break;
    case 'N':
        visit->altered = true;
        if (tls_client->finished && SSL_renegotiate(tls_client->session) == 1)
            SSL_do_handshake(tls_client->session);
        break;
    case 'h':
        tls_client_act(tls_client);
        break;
    case 'p':
        disguise.at = take_place();
        disguise.by = take();
        visits[0].altered = visits[1].altered = visits[0].disguised = visits[1].disguised = true;
        disguise.changes_byte = true;
        break;
    case 'I':
        type = take();
        count = take();
        count = (unsigned)take_bytes(&bytes, count);
        visit->altered = visit->disguised = true;
        tls_client_say_disguised(tls_client, type, bytes, count);
        break;
    default:
        return false;
    }
    tls_client_speak(tls_client);
    return true;
}

static bool alter(struct visit *visit, uint8_t letter) {
    struct tls_client *tls_client = &visit->tls_client;
    const uint8_t *bytes;
    uint8_t record[5 + 255] = {0, 3, 3};
    size_t size;
    switch (letter) {
    case 'b':
        size = take_place();
        if (tls_client->wire_size > 0)
            tls_client->wire[size % tls_client->wire_size] ^= take();
        break;
    case 'd':
        wire_cut(tls_client, 0, record_size(tls_client, 0));
        break;
    case 'D':
        wire_repeat(tls_client);
        break;
    case 'o':
        wire_swap(tls_client);
        break;
    case 'g':
        size = take_bytes(&bytes, take());
        wire_insert(tls_client, 0, bytes, size);
        break;
    case 'y':
        record[0] = take();
        size = take_bytes(&bytes, take());
        record[4] = (uint8_t)size;
        memcpy(record + 5, bytes, size);
        wire_insert(tls_client, 0, record, 5 + size);
        break;
    default:
        return false;
    }
    visit->altered = true;
    return true;
}

static void befall(struct visit *visit, uint8_t letter) {
    switch (letter) {
    case 'w':
        settle();
        break;
    case 't':
        carry(visit, take());
        break;
    case 'T':
        carry(visit, take_place());
        break;
    case 'e':
        visit->hasty |= visit->tls_client.wire_size > 0 || !has_asked(visit);
        visit->left = true;
        break;
    case 'R':
        visit->reset = true;
        break;
    case 's':
        turn(visit);
        break;
    case 'v':
        if (visit->connection)
            go_on(visit, take() & 1);
        break;
    case 'i':
        interrupted = true;
        break;
    case 'G':
        memory_short = true;
        visits[0].hasty = visits[1].hasty = true;
        break;
    case 'L':
        visit->room = take();
        break;
    case 'U':
        visit->room = UNLIMITED;
        break;
    case 'j':
    case 'J':
        file_end = letter == 'j' ? take_place() : UNLIMITED;
        for (size_t i = 0; i < VISITS; i++)
            visits[i].hasty |= visits[i].tls_client.told > 0;
        break;
    case 'H':
        held_back = true;
        break;
    case 'A':
    case 'F':
    case 'B':
    case 'Z':
        give_signature(letter);
        break;
    case '+':
        context.now += take() * 1000u;
        break;
    case 'X':
        visit->hasty = true;
        if (visit->connection)
            finish(visit);
        break;
    }
}

static void play(const uint8_t *bytes, size_t size) {
    struct visit *visit = &visits[0];
    start();
    for (at = bytes, end = bytes + size; at < end;) {
        uint8_t letter = take();
        if (letter == '@') {
            visit = &visits[visit == &visits[0]];
        } else if (visit->begun || !choose(visit, letter)) {
            begin_to_speak(visit);
            if (!speak(visit, letter) && !alter(visit, letter))
                befall(visit, letter);
        }
    }
    end_visits();
}

/* Returns the lowest free descriptor. */
static int free_descriptor(void) {
    int descriptor = dup(key_process);
    close(descriptor);
    return descriptor;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    int descriptor = free_descriptor();
    memory_before = memory_used;
    play(bytes, size);
    if (memory_used != memory_before) {
        /*
         * wolfSSL keeps what it computes once, such as the parameters of a curve. Playing the same visits again must
         * use no more memory. Above all, contexts must not grow, although each visit has different certificate
         * authorities.
         */
        memory_before = memory_used;
        play(bytes, size);
        HOLDS(memory_used == memory_before);
    }
    HOLDS(free_descriptor() == descriptor);
    return 0;
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    visits_open();
    return 0;
}
