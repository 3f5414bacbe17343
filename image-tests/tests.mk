# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the tests that speak with the running server: glibc, OpenSSL and Criterion. Runs in the tools tree.
#
#   make -f image-tests/tests.mk [BUILD=folder] [server-tests|image-tests|soak|spoil|inside|surface]

BUILD ?= build
PROBES := $(BUILD)/objects/probes

ifeq ($(WERROR),1)
WARNINGS_ARE := -Werror
endif
FLAGS := -std=c17 -D_GNU_SOURCE -Iimage-tests -O1 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -Wpointer-arith -Wvla -Wundef -Wcast-qual -Wwrite-strings $(WARNINGS_ARE) -MMD -MP

SHARED := $(PROBES)/client.o $(PROBES)/tests/server.o $(PROBES)/tests/questions.o $(PROBES)/tests/attack.o
TESTS := $(patsubst image-tests/%.c,$(PROBES)/%.o,$(wildcard image-tests/tests/test_*.c))
QUIET = @echo "  $(1) $@";

.PHONY: server-tests image-tests soak spoil surface
.DELETE_ON_ERROR:
server-tests: $(BUILD)/server-tests
image-tests: $(BUILD)/image-tests $(BUILD)/spoil $(BUILD)/inside
soak: $(BUILD)/soak
spoil: $(BUILD)/spoil
surface: $(BUILD)/surface

$(BUILD)/server-tests: $(TESTS) $(SHARED)
	$(call QUIET,LINK)gcc -o $@ $^ -lcriterion -lssl -lcrypto

$(BUILD)/image-tests: $(patsubst image-tests/%.c,$(PROBES)/%.o,$(wildcard image-tests/image/*.c)) $(PROBES)/client.o \
    $(PROBES)/tests/attack.o
	$(call QUIET,LINK)gcc -o $@ $^ -lcriterion -lssl -lcrypto

$(BUILD)/soak: $(patsubst image-tests/%.c,$(PROBES)/%.o,$(wildcard image-tests/soak/*.c)) $(PROBES)/client.o
	$(call QUIET,LINK)gcc -o $@ $^ -lssl -lcrypto

# Made of the same headers as the program: constants differ between C libraries.
$(BUILD)/surface: image-tests/surface.c server/sandbox_rules.h
	@mkdir -p $(@D)
	$(call QUIET,CC)musl-gcc -static -std=c17 -D_GNU_SOURCE -Iserver -O1 -Wall -Wextra -Wshadow $(WARNINGS_ARE) -o $@ $<

# These run in any test host.
$(BUILD)/spoil $(BUILD)/inside: $(BUILD)/%: $(PROBES)/%.o
	$(call QUIET,LINK)gcc -static -o $@ $^

$(PROBES)/%.o: image-tests/%.c image-tests/tests.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)gcc $(FLAGS) -c -o $@ $<

-include $(shell find $(PROBES) -name '*.d' 2>/dev/null)
