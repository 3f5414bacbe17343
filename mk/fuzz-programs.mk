# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the fuzz targets: glibc and libFuzzer, under the sanitizers. Runs in the tools tree.
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

# Out of an archive a target takes what it calls: one that includes a source of the server has its own copy of that.
$(FUZZ_OBJECTS)/server.a: $(TESTED:server/%.c=$(FUZZ_OBJECTS)/%.o)
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/fuzz/%: $(FUZZ_OBJECTS)/fuzz/%.o $(FUZZ_OBJECTS)/server.a $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,LINK)clang -fsanitize=fuzzer,address,undefined -o $@ -Wl,--start-group $^ -Wl,--end-group -lssl -lcrypto -lm

# The one target that has wolfSSL under it sees into it, too: the same parts, their C under the sanitizer. There, a key
# encrypts one record, and not 2^24.5 (RFC 8446 section 5.5), so that every longer body has new keys in it.
$(BUILD)/fuzz/connection: $(FUZZ_OBJECTS)/fuzz/connection.o $(FUZZ_OBJECTS)/server.a $(FUZZ_OBJECTS)/wolfssl/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,LINK)clang -fsanitize=fuzzer,address,undefined -o $@ -Wl,--start-group $^ -Wl,--end-group -lssl -lcrypto -lm

$(FUZZ_OBJECTS)/wolfssl/lib/libwolfssl.a: $(ARCHIVE) $(WOLFSSL_RECIPE) mk/fuzz-programs.mk server/fuzz/one_record.h
	@server/wolfssl/build $(ARCHIVE) $(FUZZ_OBJECTS)/wolfssl clang -g -O1 -fsanitize=address,fuzzer-no-link -fno-omit-frame-pointer -include $(CURDIR)/server/fuzz/one_record.h
	@touch $@

$(FUZZ_OBJECTS)/%.o: server/%.c mk/fuzz-programs.mk mk/program.mk | $(GENERATED)/media-table.h $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<
