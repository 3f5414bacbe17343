# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds wolfSSL, the program and its unit tests. Runs where the compilers are: in the tools tree (started by the
# Makefile) or in mkosi's sandbox.
#
#   make -f mk/program.mk [ARCH=arm64] [BUILD=folder] [program|install-in-image|unit-tests|source]
#
# Packagers may set CC, CPPFLAGS, CFLAGS, LDFLAGS, PREFIX, WOLFSSL_ARCHIVE, and MIME_TYPES (docs/packaging.md).

.PHONY: program install-in-image unit-tests source
program:
include mk/flags.mk
include mk/musl.mk
GENERATED := $(BUILD)/generated
VERSION := $(shell cat mkosi.version)
include server/wolfssl/source
ARCHIVE := $(or $(WOLFSSL_ARCHIVE),$(DOWNLOADS)/wolfssl_$(version).orig.tar.gz)

# These messages are for people who build with their own compilers.
ifeq ($(origin CC),default)
CC := $(MUSL_GCC)
endif
ifeq ($(shell command -v $(firstword $(CC))),)
$(error the compiler $(firstword $(CC)) is missing$(if $(FOREIGN),; install gcc-aarch64-linux-gnu and musl-dev:arm64)$(if $(filter musl-gcc,$(CC)),; install musl-tools, or take another one: CC=gcc))
endif
ifneq ($(WOLFSSL_ARCHIVE),$(wildcard $(WOLFSSL_ARCHIVE)))
$(error WOLFSSL_ARCHIVE=$(WOLFSSL_ARCHIVE) is missing)
endif

ROOMS := supervisor worker content protocol keys commands common
SOURCES := server/main.c $(foreach room,$(ROOMS),$(wildcard server/$(room)/*.c))
TESTS := $(wildcard server/tests/unit/*.c)

SERVER := $(COMMON) -DVITRINE_VERSION='"$(VERSION)"' -Iserver -I$(GENERATED) -isystem $(WOLFSSL)/include
# On arm64, the linker would not replace the calls through a table that -fno-plt makes.
HARDENING := -fstack-protector-strong -fstack-clash-protection $(if $(filter aarch64,$(MACHINE)),-mbranch-protection=standard,-fno-plt) \
    $(if $(filter x86_64,$(MACHINE)),-fcf-protection)
# Nothing unwinds the stack; unwind tables would be a twentieth of the program.
PROGRAM_FLAGS := $(SERVER) $(HARDENING) -O2 -g0 -fPIE -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables
TEST_FLAGS := $(SERVER) -O1 -g
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

program: $(BUILD)/vitrine
# The linker leaves holes between segments; cp fills them. From a sparse file, tar would write its process ID into the
# archive.
install-in-image: $(BUILD)/vitrine
	@install -d $(DESTDIR)/usr/bin
	@cp --sparse=never $< $(DESTDIR)/usr/bin/vitrine
	@chmod 0755 $(DESTDIR)/usr/bin/vitrine
unit-tests: $(BUILD)/unit-tests $(if $(FOREIGN),,$(BUILD)/unit-tests-sanitized)
source: $(ARCHIVE)

# ---- wolfSSL ----

ifndef WOLFSSL_ARCHIVE
$(ARCHIVE): server/wolfssl/source
	@server/wolfssl/fetch $(@D)
	@touch $@
endif

# Recompiles files that were compiled by another compiler or with other flags. $(1): compiler and flags.
define made_with
FORCE:
$(2): FORCE
	@mkdir -p $$(@D)
	@echo '$(1)' | cmp -s - $$@ || echo '$(1)' >$$@
endef
$(eval $(call made_with,$(CC) $(CPPFLAGS) $(CFLAGS),$(WOLFSSL)/made-with))
$(eval $(call made_with,$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(PREFIX),$(OBJECTS)/made-with))

# The folder is a prerequisite, too: its time changes when a patch is removed.
WOLFSSL_RECIPE := server/wolfssl/build server/wolfssl/prelude.h server/wolfssl/patches $(wildcard server/wolfssl/patches/*)

$(WOLFSSL)/lib/libwolfssl.a: $(ARCHIVE) $(WOLFSSL_RECIPE) $(WOLFSSL)/made-with
	@MACHINE=$(MACHINE) server/wolfssl/build $(ARCHIVE) $(WOLFSSL) '$(CC)' $(CPPFLAGS) $(CFLAGS)
	@touch $@

# ---- the program ----

NOTE := {"type":"portable","name":"vitrine","version":"$(VERSION)","wolfssl":"$(version)"}

PROGRAM_OBJECTS := $(SOURCES:server/%.c=$(OBJECTS)/program/%.o)

# musl-gcc links a static program. Other compilers link in their own way, without stripping and without the package
# note, because packagers have their own ways.
ifneq ($(filter %musl-gcc,$(CC)),)
link_program = $(call link_static,$(1),$(LDFLAGS) -Wl$(comma)--build-id=sha1 -Xlinker --package-metadata='$(NOTE)')
KIND := static
else
link_program = $(CC) $(CFLAGS) -pie -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack $(LDFLAGS) -o $@ $(1)
KIND := ordinary
$(OBJECTS)/program/common/sandbox.o: PROGRAM_FLAGS += -DSANDBOX_FOR_GLIBC
endif

$(BUILD)/vitrine: $(PROGRAM_OBJECTS) $(WOLFSSL)/lib/libwolfssl.a $(OBJECTS)/made-with mk/program.mk mk/flags.mk mk/musl.mk mkosi.version
	$(call QUIET,LINK)$(call link_program,$(filter %.o %.a,$^))
	@server/check-program $(KIND) $@

# The same program with function names, for tests that examine its code.
$(BUILD)/vitrine-named: private STRIPPED :=
$(BUILD)/vitrine-named: $(BUILD)/vitrine
	$(call QUIET,LINK)$(call link_program,$(PROGRAM_OBJECTS) $(WOLFSSL)/lib/libwolfssl.a)

# The path where install-program puts the sample capsule; in the image, it is in /usr.
$(OBJECTS)/program/main.o: PROGRAM_FLAGS += $(if $(PREFIX),-DSAMPLE_DEFAULT='"$(PREFIX)/share/vitrine/sample"')

$(OBJECTS)/program/%.o: server/%.c $(OBJECTS)/made-with mk/program.mk mk/flags.mk mkosi.version | $(GENERATED)/media-table.h $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)$(CC) $(PROGRAM_FLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# mkosi's sandbox does not contain the /etc of the tools tree, but it contains the project with the tools tree in it.
MEDIA_TYPES := $(or $(MIME_TYPES),$(firstword $(wildcard /etc/mime.types mkosi.tools/etc/mime.types)))
ifneq ($(MEDIA_TYPES),$(wildcard $(MEDIA_TYPES)))
$(error MIME_TYPES=$(MIME_TYPES) is missing)
endif

# In the sandbox, the input file is always new. The table stays the same, so its old file is kept and nothing is
# recompiled.
$(GENERATED)/media-table.h: server/content/media-table.sh $(MEDIA_TYPES)
	@mkdir -p $(@D)
	$(call QUIET,MAKE)server/content/media-table.sh $(or $(MEDIA_TYPES),/etc/mime.types) >$@.$$$$ && \
	    { cmp -s $@.$$$$ $@ && rm $@.$$$$ || mv $@.$$$$ $@; }

# ---- unit tests: glibc and Criterion, once without and once with the sanitizers ----

TESTED := $(filter-out server/main.c,$(SOURCES))

# For another architecture, they are compiled against a tree of its packages (make tree-units-arm64).
TEST_GCC := $(if $(FOREIGN),$(GCC) --sysroot=$(CURDIR)/build/trees/units-$(FOR),gcc)

# Functions that tests replace: to make them fail (test_sandbox.c), and to pretend another date (pretended.c).
WRAPPED := --wrap=syscall,--wrap=prctl,--wrap=setrlimit,--wrap=sigaction,--wrap=time

define test_variant
$(BUILD)/unit-tests$(1): $$(TESTED:server/%.c=$(OBJECTS)/tests$(1)/%.o) $$(TESTS:server/%.c=$(OBJECTS)/tests$(1)/%.o)
	$$(call QUIET,LINK)$(TEST_GCC) $(2) -Wl,$(WRAPPED) -o $$@ $$^ $(WOLFSSL)/lib/libwolfssl.a -lcriterion -lm

$(OBJECTS)/tests$(1)/%.o: server/%.c mk/program.mk mk/flags.mk | $(GENERATED)/media-table.h $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $$(@D)
	$$(call QUIET,CC)$(TEST_GCC) $(TEST_FLAGS) $(2) -c -o $$@ $$<
endef
$(eval $(call test_variant,,))
$(eval $(call test_variant,-sanitized,$(SANITIZERS)))

-include $(shell find $(OBJECTS) -name '*.d' 2>/dev/null)
