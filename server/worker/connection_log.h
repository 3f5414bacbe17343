/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* Logs connections and requests. */

#include "connection.h"

/* Logs why a connection is about to end without a response (drop_log.h). */
void connection_log_drop(const struct connection *connection, struct worker_context *context, enum drop drop);

/* Logs the request and how its response ended: the line `request`. Only for a connection that has a response. */
void connection_log_response(const struct connection *connection, const struct worker_context *context);
