/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

/*
 * What one connection may cost, and how many connections fit below MemoryMax= of vitrine.service. These numbers are
 * kept only here: listen.c sets the buffers, settings.c uses the defaults, and a unit test compares them with the
 * units. Sizes are in bytes.
 */

/*
 * SO_SNDBUF and SO_RCVBUF of every connection. The kernel doubles both, to have room for its own structures. It fills
 * the packet that it has begun, of at most 64 kB, before it checks the limit.
 */
#define BOUND_SEND_BUFFER 65536
#define BOUND_RECEIVE_BUFFER 16384
#define BOUND_PACKET 65536

/* Kernel memory: a full send buffer, a full receive buffer, the socket, its file and what epoll(7) keeps. */
#define BOUND_SOCKET 8192
#define BOUND_KERNEL (2 * BOUND_SEND_BUFFER + BOUND_PACKET + 3 * BOUND_RECEIVE_BUFFER + BOUND_SOCKET)

/*
 * SO_SNDBUF of a connection whose client takes a large file quickly: the fewer the wake-ups, the less a file costs. It
 * is what most kernels allow a program to ask for (net.core.wmem_max). As many connections may have it at a time, all
 * workers together; BOUND_WIDE is what they have in addition.
 */
#define BOUND_WIDE_SEND_BUFFER 212992
#define BOUND_WIDE_CONNECTIONS 10
#define BOUND_WIDE (BOUND_WIDE_CONNECTIONS * 2 * (BOUND_WIDE_SEND_BUFFER - BOUND_SEND_BUFFER))

/*
 * Memory of the worker in the most expensive stage: a TLS session, the response, and two records that the kernel has
 * not taken yet.
 */
#define BOUND_USER 49152

#define BOUND_CONNECTION (BOUND_KERNEL + BOUND_USER)

/* MemoryMax= of vitrine.service, and the share of it for programs, tables and other processes with up to 64 workers. */
#define BOUND_MEMORY (256u * 1024 * 1024)
#define BOUND_APART (56u * 1024 * 1024)

/* What all workers of a generation keep of the content folder (kept.h). Each has an equal part. */
#define BOUND_KEPT (4u * 1024 * 1024)

/* Defaults of max-connections and max-connections-from-loopback. */
#define BOUND_CONNECTIONS 650
#define BOUND_LOOPBACK 325

_Static_assert((unsigned long long)BOUND_CONNECTIONS *BOUND_CONNECTION + BOUND_WIDE + BOUND_APART + BOUND_KEPT <
                   BOUND_MEMORY,
               "as many connections as the default allows must fit below MemoryMax=");
