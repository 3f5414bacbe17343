# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the programs for measurements: the load client, which uses OpenSSL, and a program that does only the arithmetic
# of the server's wolfSSL. Runs in the tools tree, after the server is built.
#
#   make -f mk/bench-programs.mk [BUILD=folder] bench

.PHONY: bench
bench:
include mk/flags.mk

BENCH := $(OBJECTS)/bench
FLAGS := $(filter-out -Wundef -Wformat=2 -Wno-format-nonliteral,$(COMMON)) -Iserver -O2 -g

bench: $(BUILD)/bench/load $(BUILD)/bench/floor $(BUILD)/bench/packets

$(BUILD)/bench/load: $(BENCH)/load.o $(BENCH)/visits.o $(BENCH)/processes.o
	@mkdir -p $(@D)
	$(call QUIET,LINK)gcc -o $@ $^ -lssl -lcrypto

$(BUILD)/bench/packets: $(BENCH)/packets.o $(BENCH)/processes.o
	@mkdir -p $(@D)
	$(call QUIET,LINK)gcc -o $@ $^

# The library was compiled for musl; its arithmetic is the same on glibc.
$(BUILD)/bench/floor: $(BENCH)/floor.o $(BENCH)/random.o $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,LINK)gcc -o $@ $^ -lm

$(BENCH)/%.o: image-tests/bench/%.c mk/bench-programs.mk mk/flags.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)gcc $(FLAGS) -isystem $(WOLFSSL)/include -c -o $@ $<

$(BENCH)/random.o: server/common/random.c mk/bench-programs.mk mk/flags.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)gcc $(FLAGS) -isystem $(WOLFSSL)/include -c -o $@ $<

-include $(wildcard $(BENCH)/*.d)
