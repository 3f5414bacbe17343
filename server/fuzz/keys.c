/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The key process, if a worker or a supervisor sends whatever it likes: complete questions are answered once and in
 * order, a malformed one ends the channel, and no descriptor leaks. It signs only TLS handshakes, which OpenSSL
 * verifies, and only for an identity that this worker serves. The input is a list of commands, each a letter and its
 * arguments:
 *
 *   qSK      asks with scheme S (a digit), for the existing key (K = k), for one of others (K = o), or for none
 *   bIC      asks; byte I of the question is changed by C
 *   BIC      the same for a TLS 1.2 handshake
 *   mBYTES;  sends these bytes as a message
 *   L        asks; the question is a byte too long
 *   x        the worker leaves
 *   t        lets the key process look at the channel
 *   r        reads the answers
 *   p        the supervisor asks for an identity
 *   OHOST;   it asks for the identity of this host
 *   dN       it passes N descriptors as a channel
 *   DN       it passes N descriptors with a request that makes no sense
 *   oBYTES;  it sends these bytes
 *   cIIC     it asks; byte II of the request is changed by C
 *   C        it asks; the request is a byte too long
 *   vIIC     the supervisor checks a response, byte II of which is changed by C
 */
#include "fuzz.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "keys/identity_store.h"
#include "tests/unit/handshake.h"

/* Provides only the existing identity, because every new one would be a file. */
static const struct identity *provide_known(struct identity_store *store, const char *host, bool *unusable);
#define identity_store_provide provide_known
#include "keys/key_service.c"
#undef identity_store_provide

#include "common/random.h"

#define ASKED_MAX 64

static char folder[] = "/tmp/vitrine-fuzz-XXXXXX";
static struct keys keys;
static uint8_t served_key[SIGNING_KEY_ID], other_key[SIGNING_KEY_ID];
static EVP_PKEY *public;

#define GENERATION 1000 /* of the worker */

static const struct identity *provide_known(struct identity_store *store, const char *host, bool *unusable) {
    HOLDS(strnlen(host, HOSTNAME_MAX + 1) <= HOSTNAME_MAX);
    return strcmp(host, "localhost") == 0 ? identity_store_provide(store, host, unusable) : NULL;
}

static void clean_up(void) {
    char path[64];
    identity_store_dispose(&keys.store);
    snprintf(path, sizeof path, "%s/localhost.pem", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/other.pem", folder);
    unlink(path);
    rmdir(folder);
    EVP_PKEY_free(public);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    bool unusable;
    (void)count, (void)arguments;
    HOLDS(random_open() == 0 && mkdtemp(folder) != NULL);
    log_limit(LOG_LEVEL_ERROR);
    HOLDS(identity_store_open(&keys.store, folder, NULL) == EX_OK);
    const struct identity *identity = identity_store_provide(&keys.store, "localhost", &unusable);
    HOLDS(identity != NULL);
    BIO *chain = BIO_new_mem_buf(identity->public.chain, -1);
    X509 *certificate = PEM_read_bio_X509(chain, NULL, NULL, NULL);
    public = X509_get_pubkey(certificate);
    HOLDS(public != NULL);
    X509_free(certificate);
    BIO_free(chain);
    memcpy(served_key, identity->public.key_id, sizeof served_key);
    identity_store_serve(&keys.store, served_key, GENERATION);
    identity = identity_store_provide(&keys.store, "other", &unusable);
    HOLDS(identity != NULL);
    memcpy(other_key, identity->public.key_id, sizeof other_key);
    identity_store_serve(&keys.store, other_key, GENERATION + 1);
    atexit(clean_up);
    keys.listener = -1;
    return 0;
}

/* ---- the worker ---- */

struct worker {
    int own, theirs; /* the two ends of its channel */
    bool ended;      /* the key process closed it, or the worker left */
    bool spoiled;    /* an incomplete or malformed question was sent */
    struct channel channel;
    struct {
        struct signing_question question;
        bool may_be_done;
    } asked[ASKED_MAX];
    size_t count, answered;
};

static struct signing_question make(const struct worker *worker, unsigned scheme, uint8_t whose) {
    static const struct {
        enum signing_version version;
        enum signing_scheme scheme;
        size_t size; /* of a transcript hash; 0: parameters of another curve */
    } kinds[] = {{SIGNING_TLS_1_3, SIGNING_ECDSA_SHA256, 32},    {SIGNING_TLS_1_3, SIGNING_ECDSA_SHA512, 48},
                 {SIGNING_TLS_1_2, SIGNING_RSA_PKCS1_SHA256, 0}, {SIGNING_TLS_1_3, SIGNING_ED25519, 48},
                 {SIGNING_TLS_1_3, SIGNING_RSA_PSS_SHA256, 32},  {SIGNING_TLS_1_2, SIGNING_ECDSA_SHA256, 1},
                 {SIGNING_TLS_1_2, SIGNING_ECDSA_SHA384, 0},     {SIGNING_TLS_1_3, SIGNING_RSA_PSS_SHA512, 32}};
    static const uint8_t nobody[SIGNING_KEY_ID];
    struct signing_question question;
    scheme %= sizeof kinds / sizeof *kinds;
    struct handshake handshake = handshake_of(kinds[scheme].size == 0 ? GROUP_P256 : GROUP_X25519);
    if (kinds[scheme].version == SIGNING_TLS_1_3)
        handshake.size = kinds[scheme].size;
    HOLDS(signing_ask(&question, kinds[scheme].version, kinds[scheme].scheme,
                      whose == 'k'   ? served_key
                      : whose == 'o' ? other_key
                                     : nobody,
                      handshake.content, handshake.size));
    question.request_id = 1000 + worker->count;
    return question;
}

static void send_bytes(int descriptor, const void *bytes, size_t size) {
    if (size > 0) /* an empty message would look like the end */
        send(descriptor, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void ask(struct worker *worker, const struct signing_question *question, size_t size) {
    bool valid = signing_question_is_valid(question, size);
    if (worker->count == ASKED_MAX)
        return;
    if (send(worker->own, question, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size)
        return;
    if (!valid)
        worker->spoiled = true;
    if (worker->spoiled)
        return;
    worker->asked[worker->count].question = *question;
    worker->asked[worker->count++].may_be_done = (question->scheme & 0xff) == (SIGNING_ECDSA_SHA256 & 0xff) &&
                                                 memcmp(question->key_id, served_key, sizeof served_key) == 0;
}

/* The signed message must be exactly what a TLS server signs, which this builds independently. */
static void verify(const struct signing_question *question, const struct signing_answer *answer) {
    uint8_t message[256];
    size_t size = question->content_size;
    const EVP_MD *hash = question->scheme == SIGNING_ECDSA_SHA256   ? EVP_sha256()
                         : question->scheme == SIGNING_ECDSA_SHA384 ? EVP_sha384()
                                                                    : EVP_sha512();
    if (question->version == SIGNING_TLS_1_3)
        size +=
            (size_t)snprintf((char *)message, sizeof message, "%64s%s", "", "TLS 1.3, server CertificateVerify") + 1;
    memcpy(message + size - question->content_size, question->content, question->content_size);
    HOLDS(size == 130 || size == 146 ||
          (memcmp(message + 56, "DOWNGRD\1\3\0", 10) == 0 && (size == 100 || size == 133)));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    HOLDS(EVP_DigestVerifyInit(context, NULL, hash, NULL, public) == 1);
    HOLDS(EVP_DigestVerify(context, answer->signature, answer->signature_size, message, size) == 1);
    EVP_MD_CTX_free(context);
}

static void read_answers(struct worker *worker) {
    struct signing_answer got;
    ssize_t size;
    while ((size = recv(worker->own, &got, sizeof got, MSG_DONTWAIT | MSG_TRUNC)) > 0) {
        HOLDS(signing_answer_is_valid(&got, (size_t)size));
        HOLDS(worker->answered < worker->count &&
              got.request_id == worker->asked[worker->answered].question.request_id);
        HOLDS(got.result == SIGNING_REFUSED || worker->asked[worker->answered].may_be_done);
        /* The unused part of the signature buffer must be zero. */
        for (size_t i = got.signature_size; i < sizeof got.signature; i++)
            HOLDS(got.signature[i] == 0);
        if (got.result == SIGNING_DONE)
            verify(&worker->asked[worker->answered].question, &got);
        worker->answered++;
    }
}

static void look(struct worker *worker) {
    worker->channel.allowance = BURST;
    if (!worker->ended && !answer(&keys, &worker->channel)) {
        worker->ended = true;
        HOLDS(worker->spoiled);
    }
}

/* ---- the supervisor ---- */

static void hand_over(int control, uint32_t command, unsigned count) {
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } room = {0};
    struct control_request request;
    HOLDS(control_ask(&request, CONTROL_ATTACH, 0, GENERATION, NULL));
    request.command = command;
    struct iovec part = {&request, sizeof request};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int given[4], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    count %= 5;
    if (count > 0) {
        message.msg_control = &room;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        *rights = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        for (size_t i = 0; i < count; i++)
            given[i] = null;
        memcpy(CMSG_DATA(rights), given, count * sizeof(int));
    }
    size_t before = keys.channel_count;
    if (sendmsg(control, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof request) {
        close(null);
        HOLDS(answer_control(&keys, keys.controls[0]));
        HOLDS(keys.channel_count == before || (command == CONTROL_ATTACH && count == 1));
    } else {
        close(null);
    }
}

/*
 * A request without a descriptor is answered, except a request to read credentials again. The response must be
 * well-formed, and contains an identity only if the request is well-formed and asks for the existing one.
 */
static void ask_bytes(int control, const void *bytes, size_t size) {
    static struct control_response response;
    if (size == 0 || send(control, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size)
        return;
    struct control_request sent = {0};
    memcpy(&sent, bytes, size < sizeof sent ? size : sizeof sent);
    bool valid = control_request_is_valid(&sent, size);
    HOLDS(!valid || (size == sizeof sent && !control_request_is_foreign(&sent, size)));
    HOLDS(answer_control(&keys, keys.controls[0]));
    ssize_t got = recv(control, &response, sizeof response, MSG_DONTWAIT | MSG_TRUNC);
    if (valid && (sent.command == CONTROL_REFRESH || sent.command == CONTROL_PREPARE)) {
        HOLDS(got < 0);
        return;
    }
    HOLDS(got > 0 && control_response_is_valid(&response, (size_t)got));
    HOLDS((response.result == CONTROL_REFUSED) == (!valid || sent.command == CONTROL_ATTACH));
    HOLDS(response.request_id == sent.request_id);
    bool known = valid && sent.command == CONTROL_PROVIDE && strcmp(sent.host, "localhost") == 0;
    HOLDS((response.result == CONTROL_PROVIDED) == known);
    /* The part before the host name repeats the request; the name itself was compared with the known one. */
    const size_t from = offsetof(struct control_response, host);
    HOLDS(memmem((const uint8_t *)&response + from, (size_t)got - from, "PRIVATE", 7) == NULL);
}

static void ask_for_host(int control, const void *host, size_t size) {
    struct control_request request;
    HOLDS(control_ask(&request, CONTROL_PROVIDE, 1, GENERATION, "h"));
    memset(request.host, 0, sizeof request.host);
    memcpy(request.host, host, size < sizeof request.host ? size : sizeof request.host);
    ask_bytes(control, &request, sizeof request);
}

static void ask_changed(int control, size_t at, uint8_t change, size_t more) {
    struct {
        struct control_request request;
        uint8_t more[8];
    } message = {.more = {0}};
    HOLDS(control_ask(&message.request, CONTROL_PROVIDE, 1, GENERATION, "localhost"));
    ((uint8_t *)&message.request)[at % sizeof message.request] ^= change;
    ask_bytes(control, &message, sizeof message.request + more);
}

/*
 * Whatever the key process sends, a response counts as an identity only if its host and chain are within the message.
 */
static void judge_changed(size_t at, uint8_t change) {
    static struct control_response response;
    static char chain[] = "a chain";
    const struct certificate known = {.kind = KEY_P256, .signature_max = 72, .chain = chain, .chain_size = 7};
    size_t size = control_reply(&response, 1, CONTROL_PROVIDED, "localhost", &known);
    ((uint8_t *)&response)[at % size] ^= change;
    if (!control_response_is_valid(&response, size))
        return;
    HOLDS(!control_response_is_foreign(&response, size) && response.result == CONTROL_PROVIDED);
    struct certificate told = control_certificate(&response);
    HOLDS(strnlen(told.host, sizeof told.host) < sizeof told.host && told.host[0] != '\0');
    HOLDS(told.chain_size == 7 && told.chain == response.chain && told.kind >= KEY_P256 && told.kind <= KEY_KIND_MAX);
}

/* ---- commands of the input ---- */

static uint8_t take(const uint8_t **at, const uint8_t *end) {
    return *at < end ? *(*at)++ : 0;
}

static void follow(struct worker *worker, int control, uint8_t letter, const uint8_t **at, const uint8_t *end) {
    struct signing_question question[2] = {make(worker, letter == 'B' ? 6 : 0, 'k')};
    const uint8_t *start = *at;
    if (letter == 'm' || letter == 'o' || letter == 'O') {
        const uint8_t *stop = memchr(start, ';', (size_t)(end - start));
        *at = stop ? stop + 1 : end;
        size_t size = (size_t)((stop ? stop : end) - start);
        worker->spoiled |= letter == 'm' && size > 0;
        letter == 'm'   ? send_bytes(worker->own, start, size)
        : letter == 'o' ? ask_bytes(control, start, size)
                        : ask_for_host(control, start, size);
    } else if (letter == 'q') {
        unsigned scheme = take(at, end);
        question[0] = make(worker, scheme - '0', take(at, end));
        ask(worker, question, sizeof *question);
    } else if (letter == 'b' || letter == 'B') {
        size_t place = take(at, end) % sizeof *question;
        ((uint8_t *)question)[place] ^= take(at, end);
        ask(worker, question, sizeof *question);
    } else if (letter == 'L') {
        ask(worker, question, sizeof *question + 1);
    } else if (letter == 'd' || letter == 'D') {
        hand_over(control, letter == 'd' ? CONTROL_ATTACH : 77, (unsigned)take(at, end) - '0');
        static struct control_response response;
        recv(control, &response, sizeof response, MSG_DONTWAIT);
    } else if (letter == 'c' || letter == 'v') {
        size_t place = take(at, end) | (size_t)take(at, end) << 8;
        uint8_t change = take(at, end);
        letter == 'c' ? ask_changed(control, place, change, 0) : judge_changed(place, change);
    } else if (letter == 'C') {
        ask_changed(control, 0, 0, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct worker worker;
    int control[2], ends[2];
    size_t before = fuzz_descriptors();
    HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0);
    HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    worker = (struct worker){
        .own = ends[0], .theirs = ends[1], .channel = {.descriptor = ends[1], .generation = GENERATION}};
    keys.controls[0] = control[1];
    keys.channel_count = 0;
    for (const uint8_t *at = bytes, *end = bytes + size;
         at < end && keys.channel_count < KEY_SERVICE_CHANNELS_MAX / 4;) {
        uint8_t letter = *at++;
        if (letter == 't') {
            look(&worker);
        } else if (letter == 'r') {
            read_answers(&worker);
        } else if (letter == 'p') {
            ask_for_host(control[0], "localhost", 9);
        } else if (letter == 'x') {
            worker.spoiled = true;
            shutdown(worker.own, SHUT_WR);
        } else {
            follow(&worker, control[0], letter, &at, end);
        }
    }
    /* At the end, every valid question must have an answer. */
    for (int i = 0; i < 8; i++) {
        look(&worker);
        read_answers(&worker);
    }
    HOLDS(worker.spoiled || worker.answered == worker.count);
    for (size_t i = 0; i < keys.channel_count; i++)
        close(keys.channels[i].descriptor);
    for (int i = 0; i < 2; i++) {
        close(control[i]);
        close(ends[i]);
    }
    HOLDS(fuzz_descriptors() == before);
    return 0;
}
