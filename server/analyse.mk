# SPDX-License-Identifier: GPL-3.0-or-later
# Static analysis. The top Makefile includes this.

.PHONY: analyse

analyse: $(call needs,program) ## gcc -fanalyzer, clang-tidy and cppcheck on the server's sources
	@$(ENTER) server/analyse
