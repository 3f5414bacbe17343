/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "connection_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "response.h"

/* Writes " address=..." or nothing. */
static const char *show_address(char text[static CLIENT_ADDRESS_SHOWN_MAX + 16], const struct connection *connection,
                                const struct worker_context *context) {
    char shown[CLIENT_ADDRESS_SHOWN_MAX];
    client_address_show(shown, &connection->address, context->settings->log_addresses, context->hash_key);
    snprintf(text, CLIENT_ADDRESS_SHOWN_MAX + 16, shown[0] ? " address=%s" : "%s", shown);
    return text;
}

void connection_log_drop(const struct connection *connection, struct worker_context *context, enum drop drop) {
    char address[CLIENT_ADDRESS_SHOWN_MAX + 16];
    drop_log_add(&context->remarks, drop, show_address(address, connection, context), context->now);
}

void connection_log_response(const struct connection *connection, const struct worker_context *context) {
    const struct response *response = connection->response;
    bool succeeded = response->reply.status < 40 && !response->broken;
    if (succeeded && (connection->is_probe || context->settings->log_requests == LOG_REQUESTS_ERRORS))
        return;
    char address[CLIENT_ADDRESS_SHOWN_MAX + 16], name[CLIENT_NAME_MAX * 4 + 3],
        client[sizeof name + sizeof " visitor="] = "";
    if (response->client.name[0])
        snprintf(client, sizeof client, " visitor=%s", log_quote(name, sizeof name, response->client.name));
    log_line(LOG_LEVEL_INFO, "request status=%d bytes=%" PRIu64 " complete=%s milliseconds=%" PRIu64 " tls=%s %s%s%s",
             (int)response->reply.status, response->sent, response->broken ? "no" : "yes",
             context->now - connection->begun, tls_version(connection->session), response->asked, client,
             show_address(address, connection, context));
}
