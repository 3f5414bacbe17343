# SPDX-License-Identifier: GPL-3.0-or-later
# Fuzzing. The top Makefile includes this.

FUZZ_SECONDS ?= 60
FUZZ := $(ENTER) $(MAKE) --no-print-directory -f server/fuzz/build.mk -j$(JOBS)

# The target that plays whole visits has a wolfSSL of its own beneath it, which takes long to build.
FUZZ_PARSERS := $(filter-out connection,$(patsubst server/fuzz/%.c,%,$(wildcard server/fuzz/*.c)))

.PHONY: fuzz fuzz-check
.PHONY: fuzz-targets fuzz-parsers fuzz-check-parsers fuzz-check-connection

fuzz-targets: | tools-check
	@$(FUZZ) fuzz-targets

fuzz-parsers: | tools-check
	@$(FUZZ) $(FUZZ_PARSERS:%=build/fuzz/%)

fuzz: $(call needs,fuzz-targets) ## looks for inputs that break a parser: [FUZZ_SECONDS=60] [TARGET=name], all targets in turn
	@$(ENTER) server/fuzz/run $(FUZZ_SECONDS) $(TARGET)

fuzz-check: $(call needs,fuzz-targets) ## replays the inputs in server/fuzz/corpora/
	@$(ENTER) server/fuzz/run check $(TARGET)

fuzz-check-parsers: $(call needs,fuzz-parsers)
	@$(ENTER) server/fuzz/run check $(FUZZ_PARSERS)

fuzz-check-connection: $(call needs,fuzz-targets)
	@$(ENTER) server/fuzz/run check connection
