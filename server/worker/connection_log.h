/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/* What the log says about a connection. */

#include "connection.h"

/* Notes for the log why a connection, which is about to end, ends without a reply (drop_log.h). */
void connection_log_drop(const struct connection *connection, struct worker_context *context, enum drop drop);

/* Logs the request and how its response ended: the line `request`. For a connection that has a response. */
void connection_log_response(const struct connection *connection, const struct worker_context *context);
