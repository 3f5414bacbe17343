# SPDX-License-Identifier: GPL-3.0-or-later
# Settings that all makefiles here that compile something share.

include mk/arch.mk
OBJECTS := $(BUILD)/objects
WOLFSSL := $(BUILD)/wolfssl

ifeq ($(WERROR),1)
WARNINGS_ARE := -Werror
endif
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef \
    -Wcast-qual -Wwrite-strings -Wformat=2 -Wno-format-nonliteral $(WARNINGS_ARE)
# Keeps the path of the project out of the result, so that it has the same bytes wherever the project is.
COMMON := -std=c17 -D_GNU_SOURCE -ffile-prefix-map=$(CURDIR)=. $(WARNINGS) -MMD -MP

comma := ,
QUIET = @echo "  $(1) $@";
.DELETE_ON_ERROR:
