# SPDX-License-Identifier: GPL-3.0-or-later
# Proofs. The top Makefile includes this.

.PHONY: proof proof-check

proof: | tools-all ## the request parser, proven for longer inputs: [PROOF_BYTES=number] [PROOF_SECONDS=1200]
	@$(ENTER) env PROOF=long PROOF_BYTES=$(PROOF_BYTES) PROOF_SECONDS=$(PROOF_SECONDS) server/proof/check

proof-check: | tools-all ## the same for short inputs
	@$(ENTER) server/proof/check
