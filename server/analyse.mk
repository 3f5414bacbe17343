# SPDX-License-Identifier: GPL-3.0-or-later
# Static analysis. The top Makefile includes this.

.PHONY: analyse

analyse: | tools ## gcc -fanalyzer, clang-tidy and cppcheck on the server's sources
	@$(SERVER) build/generated/media-table.h build/wolfssl/lib/libwolfssl.a
	@$(ENTER) server/analyse
