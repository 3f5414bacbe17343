# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds what the measurements need: the load client on OpenSSL, and the arithmetic alone on the server's wolfSSL. Runs
# in the tools tree, when the program is built.
#
#   make -f image-tests/bench.mk [BUILD=folder] bench

BUILD ?= build
BENCH := $(BUILD)/objects/bench
WOLFSSL := $(BUILD)/wolfssl

ifeq ($(WERROR),1)
WARNINGS_ARE := -Werror
endif
FLAGS := -std=c17 -D_GNU_SOURCE -Iserver -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -Wpointer-arith -Wvla -Wcast-qual -Wwrite-strings $(WARNINGS_ARE) -MMD -MP
QUIET = @echo "  $(1) $@";

.PHONY: bench
.DELETE_ON_ERROR:
bench: $(BUILD)/bench/load $(BUILD)/bench/floor $(BUILD)/bench/packets

$(BUILD)/bench/load: $(BENCH)/load.o $(BENCH)/visits.o $(BENCH)/processes.o
	@mkdir -p $(@D)
	$(call QUIET,LINK)gcc -o $@ $^ -lssl -lcrypto

$(BUILD)/bench/packets: $(BENCH)/packets.o $(BENCH)/processes.o
	@mkdir -p $(@D)
	$(call QUIET,LINK)gcc -o $@ $^

# The library is built to be part of a program on musl; its arithmetic is the same on glibc.
$(BUILD)/bench/floor: $(BENCH)/floor.o $(BENCH)/random.o $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,LINK)gcc -o $@ $^ -lm

$(BENCH)/%.o: image-tests/bench/%.c image-tests/bench.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)gcc $(FLAGS) -isystem $(WOLFSSL)/include -c -o $@ $<

$(BENCH)/random.o: server/random.c image-tests/bench.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)gcc $(FLAGS) -isystem $(WOLFSSL)/include -c -o $@ $<

-include $(wildcard $(BENCH)/*.d)
