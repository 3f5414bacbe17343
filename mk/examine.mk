# SPDX-License-Identifier: GPL-3.0-or-later
# Static analysis, fuzzing, proofs. The top Makefile includes this.

FUZZ_SECONDS ?= 60
FUZZ := $(ENTER) $(MAKE) --no-print-directory -f mk/fuzz-programs.mk -j$(JOBS)

# The target "connection", which plays whole visits, needs its own build of wolfSSL, which takes a long time.
FUZZ_PARSERS := $(filter-out connection,$(patsubst server/fuzz/%.c,%,$(wildcard server/fuzz/*.c)))

.PHONY: fuzz fuzz-check
.PHONY: fuzz-targets fuzz-parsers fuzz-check-parsers fuzz-check-connection

fuzz-targets: | tools-check
	@$(FUZZ) fuzz-targets

fuzz-parsers: | tools-check
	@$(FUZZ) $(FUZZ_PARSERS:%=build/fuzz/%)

fuzz: $(call needs,fuzz-targets) ## looks for inputs that break a parser: [FUZZ_SECONDS=60] [TARGET=name]
	@$(ENTER) server/fuzz/run $(FUZZ_SECONDS) $(TARGET)

fuzz-check: $(call needs,fuzz-targets) ## replays the inputs in server/fuzz/corpora/
	@$(ENTER) server/fuzz/run check $(TARGET)

fuzz-check-parsers: $(call needs,fuzz-parsers)
	@$(ENTER) server/fuzz/run check $(FUZZ_PARSERS)

fuzz-check-connection: $(call needs,fuzz-targets)
	@$(ENTER) server/fuzz/run check connection

.PHONY: analyse
.PHONY: analyse-quick analyse-tidy

analyse: analyse-quick analyse-tidy ## runs gcc -fanalyzer, clang-tidy and cppcheck on the server's sources

analyse-quick: $(call needs,program tools-check)
	@$(ENTER) tools/analyse gcc cppcheck

# This is by far the slowest analysis.
analyse-tidy: $(call needs,program tools-check)
	@$(ENTER) tools/analyse tidy

.PHONY: proof proof-check

proof: | tools-all ## proves the request parser for longer inputs: [PROOF_BYTES=N] [PROOF_SECONDS=N]
	@$(ENTER) env PROOF=long PROOF_BYTES=$(PROOF_BYTES) PROOF_SECONDS=$(PROOF_SECONDS) server/proof/check

proof-check: | tools-all ## proves the request parser for short inputs
	@$(ENTER) server/proof/check
