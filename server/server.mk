# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds wolfSSL, the program and its unit tests. Runs where the compilers are: in the tools tree (the Makefile above
# sees to that) or in mkosi's sandbox.
#
#   make -f server/server.mk [BUILD=folder] [program|measured|unit-tests|source]

BUILD ?= build
WOLFSSL := $(BUILD)/wolfssl
OBJECTS := $(BUILD)/objects
GENERATED := $(BUILD)/generated
VERSION := $(shell cat mkosi.version)
include server/wolfssl/source
ARCHIVE := $(BUILD)/downloads/wolfssl_$(version).orig.tar.gz

SOURCES := $(wildcard server/*.c)
TESTS := $(wildcard server/tests/*.c)

ifeq ($(WERROR),1)
WARNINGS_ARE := -Werror
endif
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef \
    -Wcast-qual -Wwrite-strings -Wformat=2 -Wno-format-nonliteral $(WARNINGS_ARE)
# The project's own folder must not show in the result: the same bytes come out wherever it lies.
COMMON := -std=c17 -D_GNU_SOURCE -DVITRINE_VERSION='"$(VERSION)"' -Iserver -I$(GENERATED) -isystem $(WOLFSSL)/include \
    -ffile-prefix-map=$(CURDIR)=. $(WARNINGS) -MMD -MP
HARDENING := -fstack-protector-strong -fstack-clash-protection -fno-plt $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
# Nothing unwinds its stack: tables for that would be a twentieth of the program.
PROGRAM_FLAGS := $(COMMON) $(HARDENING) -O2 -g0 -fPIE -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables
TEST_FLAGS := $(COMMON) -O1 -g
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

QUIET = @echo "  $(1) $@";

.PHONY: program measured unit-tests source
.DELETE_ON_ERROR:
program: $(BUILD)/vitrine
measured: $(BUILD)/vitrine-apart $(BUILD)/vitrine-inside
unit-tests: $(BUILD)/unit-tests $(BUILD)/unit-tests-sanitized
source: $(ARCHIVE)

# ---- wolfSSL ----

$(ARCHIVE): server/wolfssl/source
	@server/wolfssl/fetch $(@D)
	@touch $@

# The folder itself is among them: it changes when a patch is taken away.
WOLFSSL_RECIPE := server/wolfssl/build server/wolfssl/prelude.h server/wolfssl/patches $(wildcard server/wolfssl/patches/*)

$(WOLFSSL)/lib/libwolfssl.a: $(ARCHIVE) $(WOLFSSL_RECIPE)
	@server/wolfssl/build $(ARCHIVE) $(WOLFSSL)
	@touch $@

# ---- the program: static, position independent, on musl ----
# musl-gcc cannot link this kind by itself (its -static-pie gives a dynamic program), so the parts are named here.

MUSL := /usr/lib/$(shell uname -m)-linux-musl/
START := $(MUSL)rcrt1.o $(MUSL)crti.o $(shell gcc -print-file-name=crtbeginS.o)
END := $(shell gcc -print-file-name=crtendS.o) $(MUSL)crtn.o
NOTE := {"type":"portable","name":"vitrine","version":"$(VERSION)","wolfssl":"$(version)"}

PROGRAM_OBJECTS := $(SOURCES:server/%.c=$(OBJECTS)/program/%.o)

$(BUILD)/vitrine: $(PROGRAM_OBJECTS) $(WOLFSSL)/lib/libwolfssl.a server/server.mk mkosi.version
	$(call QUIET,LINK)gcc -nostdlib -static-pie -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,--strip-all \
	    -Wl,--build-id=sha1 -Xlinker --package-metadata='$(NOTE)' -o $@.new $(START) $(PROGRAM_OBJECTS) \
	    $(WOLFSSL)/lib/libwolfssl.a -Wl,--start-group $(MUSL)libc.a -lgcc -lgcc_eh -Wl,--end-group $(END)
	@server/check-program $@.new
	@mv $@.new $@

include image-tests/breach/breach.mk
include image-tests/intruder/intruder.mk

# To measure what the key process costs (image-tests/bench/split): the program, and the same with the private key inside
# the worker, both without a sandbox.
MEASURED := $(filter-out %/sandbox.o,$(PROGRAM_OBJECTS)) $(OBJECTS)/program/bench/no_sandbox.o
INSIDE := $(filter-out %/desk.o,$(MEASURED)) $(OBJECTS)/program/bench/desk_inside.o

define measured_program
$(BUILD)/vitrine-$(1): $(2) $(WOLFSSL)/lib/libwolfssl.a
	$$(call QUIET,LINK)gcc -nostdlib -static-pie -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,--strip-all -o $$@ \
	    $(START) $(2) $(WOLFSSL)/lib/libwolfssl.a -Wl,--start-group $(MUSL)libc.a -lgcc -lgcc_eh -Wl,--end-group $(END)
endef
$(eval $(call measured_program,apart,$(MEASURED)))
$(eval $(call measured_program,inside,$(INSIDE)))

# For the breach drill: the program, and in it what an intruder would try (image-tests/breach/worker.c).
$(BUILD)/breach/vitrine: $(PROGRAM_OBJECTS) $(OBJECTS)/program/breach/worker.o $(ATTEMPTS) $(WOLFSSL)/lib/libwolfssl.a
	$(call QUIET,LINK)gcc -nostdlib -static-pie -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,--strip-all \
	    -Wl,--wrap=main,--wrap=sysconf,--wrap=sandbox_enter,--wrap=desk_open,--wrap=page_answer,--wrap=worker_serve,--wrap=connection_end -o $@ \
	    $(START) $(filter %.o,$^) $(WOLFSSL)/lib/libwolfssl.a -Wl,--start-group $(MUSL)libc.a -lgcc -lgcc_eh -Wl,--end-group $(END)

breach: $(BUILD)/breach/vitrine

$(OBJECTS)/program/breach/%.o: image-tests/breach/%.c server/server.mk | $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)musl-gcc $(PROGRAM_FLAGS) -Iimage-tests/breach -c -o $@ $<

# For the random intruder: the program, and in it an engine that makes system calls (image-tests/intruder/worker.c).
INTRUDER := $(patsubst %,$(OBJECTS)/program/intruder/%.o,worker engine filter) $(BREACH)/surroundings.o $(BREACH)/tools.o

$(BUILD)/intruder/vitrine: $(PROGRAM_OBJECTS) $(INTRUDER) $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,LINK)gcc -nostdlib -static-pie -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,--strip-all \
	    -Wl,--wrap=main,--wrap=sysconf,--wrap=syscall,--wrap=worker_serve,--wrap=send,--wrap=epoll_wait -o $@ \
	    $(START) $(filter %.o,$^) $(WOLFSSL)/lib/libwolfssl.a -Wl,--start-group $(MUSL)libc.a -lgcc -lgcc_eh -Wl,--end-group $(END)

.PHONY: intruder
intruder: $(BUILD)/intruder/vitrine $(BUILD)/intruder/watcher $(BUILD)/breach/attempts $(BUILD)/breach/decoys

$(OBJECTS)/program/intruder/%.o: image-tests/intruder/%.c server/server.mk | $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)musl-gcc $(PROGRAM_FLAGS) -Iimage-tests/breach -Iimage-tests/intruder -c -o $@ $<

$(OBJECTS)/program/bench/%.o: image-tests/bench/%.c server/server.mk | $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)musl-gcc $(PROGRAM_FLAGS) -c -o $@ $<

$(OBJECTS)/program/%.o: server/%.c server/server.mk mkosi.version | $(GENERATED)/media-table.h $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)musl-gcc $(PROGRAM_FLAGS) -c -o $@ $<

# mkosi's sandbox has no /etc of the tools tree, but the project with the tree in it.
MEDIA_TYPES := $(firstword $(wildcard /etc/mime.types mkosi.tools/etc/mime.types))

# In the sandbox that file is as old as the sandbox; what comes out is the same, and nothing has to be made of it again.
$(GENERATED)/media-table.h: server/media-table.sh $(MEDIA_TYPES)
	@mkdir -p $(@D)
	$(call QUIET,MAKE)server/media-table.sh $(or $(MEDIA_TYPES),/etc/mime.types) >$@.$$$$ && \
	    { cmp -s $@.$$$$ $@ && rm $@.$$$$ || mv $@.$$$$ $@; }

# ---- unit tests: glibc and Criterion, once plain and once under the sanitizers ----

TESTED := $(filter-out server/main.c,$(SOURCES))

# What a test makes fail (test_sandbox.c), and the date that it pretends (pretended.c).
WRAPPED := --wrap=syscall,--wrap=prctl,--wrap=setrlimit,--wrap=sigaction,--wrap=time

define test_variant
$(BUILD)/unit-tests$(1): $$(TESTED:server/%.c=$(OBJECTS)/tests$(1)/%.o) $$(TESTS:server/tests/%.c=$(OBJECTS)/tests$(1)/tests/%.o)
	$$(call QUIET,LINK)gcc $(2) -Wl,$(WRAPPED) -o $$@ $$^ $(WOLFSSL)/lib/libwolfssl.a -lcriterion -lm

$(OBJECTS)/tests$(1)/%.o: server/%.c server/server.mk | $(GENERATED)/media-table.h $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $$(@D)
	$$(call QUIET,CC)gcc $(TEST_FLAGS) $(2) -c -o $$@ $$<
endef
$(eval $(call test_variant,,))
$(eval $(call test_variant,-sanitized,$(SANITIZERS)))

-include $(shell find $(OBJECTS) -name '*.d' 2>/dev/null)
