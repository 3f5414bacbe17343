# SPDX-License-Identifier: GPL-3.0-or-later
# Static analysis. The top Makefile includes this.

.PHONY: analyse
.PHONY: analyse-quick analyse-tidy

analyse: analyse-quick analyse-tidy ## gcc -fanalyzer, clang-tidy and cppcheck on the server's sources

analyse-quick: $(call needs,program tools-check)
	@$(ENTER) server/analyse gcc cppcheck

# By far the slowest.
analyse-tidy: $(call needs,program tools-check)
	@$(ENTER) server/analyse tidy
