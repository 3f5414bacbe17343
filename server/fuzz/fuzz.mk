# SPDX-License-Identifier: GPL-3.0-or-later
# Fuzzing. The top Makefile includes this.

FUZZ_SECONDS ?= 60
FUZZ := $(ENTER) $(MAKE) --no-print-directory -f server/fuzz/build.mk -j$(JOBS)

.PHONY: fuzz fuzz-check fuzz-targets

fuzz-targets: | tools
	@$(FUZZ) fuzz-targets

fuzz: $(call needs,fuzz-targets) ## looks for inputs that break a parser: [FUZZ_SECONDS=60] [TARGET=name], all targets in turn
	@$(ENTER) server/fuzz/run $(FUZZ_SECONDS) $(TARGET)

fuzz-check: $(call needs,fuzz-targets) ## replays the inputs in server/fuzz/corpora/
	@$(ENTER) server/fuzz/run check $(TARGET)
