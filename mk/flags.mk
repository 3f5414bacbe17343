# SPDX-License-Identifier: GPL-3.0-or-later
# What all makefiles here share that compile something.

include mk/arch.mk
OBJECTS := $(BUILD)/objects
WOLFSSL := $(BUILD)/wolfssl

ifeq ($(WERROR),1)
WARNINGS_ARE := -Werror
endif
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef \
    -Wcast-qual -Wwrite-strings -Wformat=2 -Wno-format-nonliteral $(WARNINGS_ARE)
# The project's own folder must not show in the result: the same bytes come out wherever it lies.
COMMON := -std=c17 -D_GNU_SOURCE -ffile-prefix-map=$(CURDIR)=. $(WARNINGS) -MMD -MP

comma := ,
QUIET = @echo "  $(1) $@";
.DELETE_ON_ERROR:
