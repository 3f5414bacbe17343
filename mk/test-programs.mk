# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the tests that talk to the running server, with glibc, OpenSSL and Criterion. Runs in the tools tree.
#
#   make -f mk/test-programs.mk [ARCH=arm64] [BUILD=folder] [server-tests|image-tests|soak|surface|first]

.PHONY: server-tests image-tests soak surface first
server-tests:
include mk/flags.mk

PROBES := $(OBJECTS)/probes
FLAGS := $(filter-out -Wformat=2 -Wno-format-nonliteral,$(COMMON)) -Iimage-tests -O1 -g
# All tests share one client, one server under test, and one attacker.
LIB := $(patsubst %,$(PROBES)/image-tests/lib/%.o,client server questions attack)
objects = $(patsubst %.c,$(PROBES)/%.o,$(wildcard $(1)/*.c))

server-tests: $(BUILD)/server-tests
image-tests: $(BUILD)/image-tests $(BUILD)/spoil $(BUILD)/inside
soak: $(BUILD)/soak
surface: $(BUILD)/surface
first: $(BUILD)/first

$(BUILD)/server-tests: $(call objects,server/tests/running) $(LIB)
	$(call QUIET,LINK)gcc -o $@ $^ -lcriterion -lssl -lcrypto

$(BUILD)/image-tests: $(call objects,image-tests/image) $(filter %/client.o %/attack.o,$(LIB))
	$(call QUIET,LINK)gcc -o $@ $^ -lcriterion -lssl -lcrypto

$(BUILD)/soak: $(call objects,image-tests/soak) $(filter %/client.o,$(LIB))
	$(call QUIET,LINK)gcc -o $@ $^ -lssl -lcrypto

# Compiled with the same headers as the program, because constants differ between C libraries.
$(BUILD)/surface: image-tests/surface.c server/common/sandbox_rules.h
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) -static $(filter-out -MMD -MP,$(FLAGS)) -Iserver -o $@ $<

# The first and only program in an emulated machine.
$(BUILD)/first: image-tests/first.c
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) -static $(filter-out -MMD -MP,$(FLAGS)) -o $@ $<

# These are static, so that they run in any test host.
$(BUILD)/spoil $(BUILD)/inside: $(BUILD)/%: $(PROBES)/image-tests/%.o
	$(call QUIET,LINK)gcc -static -o $@ $^

$(PROBES)/%.o: %.c mk/test-programs.mk mk/flags.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)gcc $(FLAGS) -c -o $@ $<

-include $(shell find $(PROBES) -name '*.d' 2>/dev/null)
