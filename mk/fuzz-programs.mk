# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the fuzz targets with glibc, libFuzzer and the sanitizers. Runs in the tools tree.
#
#   make -f mk/fuzz-programs.mk [BUILD=folder] fuzz-targets

.PHONY: fuzz-targets
fuzz-targets:
include mk/program.mk

FUZZ_OBJECTS := $(OBJECTS)/fuzz
FUZZ_TARGETS := $(patsubst server/fuzz/%.c,%,$(wildcard server/fuzz/*.c))
FUZZ_FLAGS := $(SERVER) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    -fno-omit-frame-pointer

.SECONDARY:
fuzz-targets: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)

# From an archive, each target links only what it calls. A target that includes a server source has its own copy of it.
$(FUZZ_OBJECTS)/server.a: $(TESTED:server/%.c=$(FUZZ_OBJECTS)/%.o)
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/fuzz/%: $(FUZZ_OBJECTS)/fuzz/%.o $(FUZZ_OBJECTS)/server.a $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,LINK)clang -fsanitize=fuzzer,address,undefined -o $@ -Wl,--start-group $^ -Wl,--end-group -lssl -lcrypto -lm

# This is the only target that runs real wolfSSL, compiled with the sanitizers. In this build, a key encrypts one record
# instead of 2^24.5 (RFC 8446 section 5.5), so that every response of several records includes key updates.
$(BUILD)/fuzz/connection: $(FUZZ_OBJECTS)/fuzz/connection.o $(FUZZ_OBJECTS)/server.a $(FUZZ_OBJECTS)/wolfssl/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,LINK)clang -fsanitize=fuzzer,address,undefined -o $@ -Wl,--start-group $^ -Wl,--end-group -lssl -lcrypto -lm

$(FUZZ_OBJECTS)/wolfssl/lib/libwolfssl.a: $(ARCHIVE) $(WOLFSSL_RECIPE) mk/fuzz-programs.mk server/fuzz/one_record.h
	@server/wolfssl/build $(ARCHIVE) $(FUZZ_OBJECTS)/wolfssl clang -g -O1 -fsanitize=address,fuzzer-no-link -fno-omit-frame-pointer -include $(CURDIR)/server/fuzz/one_record.h
	@touch $@

$(FUZZ_OBJECTS)/%.o: server/%.c mk/fuzz-programs.mk mk/program.mk | $(GENERATED)/media-table.h $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<
