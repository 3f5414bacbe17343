# SPDX-License-Identifier: GPL-3.0-or-later
#
# make help lists what can be made. Everything is compiled and run in the tools tree (mkosi.tools/), so that every host
# gives the same result; ENTER= (empty) uses the compilers at hand instead.

ENTER ?= ./mkosi.tools.enter
VERSION := $(shell cat mkosi.version)
JOBS := $(shell nproc)
SERVER := $(ENTER) $(MAKE) --no-print-directory -f server/server.mk -j$(JOBS)
SCRIPTS := .ci/run mkosi.tools.make mkosi.tools.enter server/check-program server/media-table.sh \
    server/wolfssl/fetch server/wolfssl/build

export WERROR
.PHONY: all help tools unit-tests check unit-check lint manual-check format clean distclean FORCE
all: build/vitrine

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: ## the tools tree, mkosi.tools/, made once
ifneq ($(ENTER),)
	@./mkosi.tools.make
endif

build/vitrine: FORCE | tools
	@$(SERVER) program

FORCE:

unit-tests: | tools
	@$(SERVER) unit-tests

check: | tools ## all tests; ends with "N passed, N failed"
	@image-tests/tally lint manual-check unit-check server-check image-check

unit-check: unit-tests ## the server's unit tests, plain and under the sanitizers
	@$(ENTER) build/unit-tests --jobs $(JOBS)
	@# Criterion itself, with several jobs, now and then leaves memory behind, which would fail here.
	@$(ENTER) build/unit-tests-sanitized --jobs 1

lint: | tools ## layout of the sources, faults in scripts
	@$(ENTER) image-tests/lint $(SCRIPTS)

manual-check: build/vitrine ## the man pages: well-formed, and true to the program
	@$(ENTER) image-tests/check-manual build/vitrine

format: | tools ## lays out the sources as .clang-format says
	@$(ENTER) sh -c 'clang-format -i $$(find server image-tests -name "*.[ch]")'

clean: ## removes build/ but for downloads
	@find build -mindepth 1 -maxdepth 1 ! -name downloads -exec rm -rf --one-file-system {} + 2>/dev/null || :

distclean: ## removes everything that was made but for the signing key
	@rm -rf --one-file-system build mkosi.tools mkosi.tools.new

include image-tests/image-tests.mk
