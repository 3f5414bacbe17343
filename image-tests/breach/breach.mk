# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds what the breach drill needs: the attempts as a program of their own, and the decoys that they aim at. Both are
# static, so that they run in any image. Runs in the tools tree.
#
#   make -f server/server.mk [BUILD=folder] breach    (with the test build of the server)
#   make -f image-tests/breach/breach.mk breach       (without)

BUILD ?= build
BREACH := $(BUILD)/objects/breach

ifeq ($(WERROR),1)
WARNINGS_ARE := -Werror
endif
BREACH_FLAGS := -std=c17 -D_GNU_SOURCE -Iimage-tests/breach -Iserver -ffile-prefix-map=$(CURDIR)=. -Wall -Wextra -Wshadow \
    -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef -Wcast-qual -Wwrite-strings -Wformat=2 \
    $(WARNINGS_ARE) -MMD -MP -O2 -g0 -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections

BREACH_MUSL := /usr/lib/$(shell uname -m)-linux-musl/
BREACH_START := $(BREACH_MUSL)rcrt1.o $(BREACH_MUSL)crti.o $(shell gcc -print-file-name=crtbeginS.o)
BREACH_END := $(shell gcc -print-file-name=crtendS.o) $(BREACH_MUSL)crtn.o

# What a test build of the server takes in, too: everything but the two main functions.
ATTEMPTS := $(patsubst image-tests/breach/%.c,$(BREACH)/%.o,\
    $(filter-out %/main.c %/worker.c %/without.c %/decoys.c %/decoys_parts.c,$(wildcard image-tests/breach/*.c)))

.PHONY: breach
.DELETE_ON_ERROR:
breach: $(BUILD)/breach/attempts $(BUILD)/breach/attempts-fenced $(BUILD)/breach/decoys

COMMA := ,
define breach_program
$(BUILD)/$(1): $(2)
	@mkdir -p $$(@D)
	@echo "  LINK $$@";gcc -nostdlib -static-pie -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,--strip-all $(3) -o $$@ \
	    $(BREACH_START) $$^ -Wl,--start-group $(BREACH_MUSL)libc.a -lgcc -lgcc_eh -Wl,--end-group $(BREACH_END)
endef
$(eval $(call breach_program,breach/attempts,$(BREACH)/main.o $(ATTEMPTS)))
$(eval $(call breach_program,breach/attempts-fenced,$(BREACH)/main-fenced.o $(BREACH)/without.o $(BREACH)/sandbox.o $(ATTEMPTS),-Wl$(COMMA)--wrap=syscall$(COMMA)--wrap=prctl))
$(eval $(call breach_program,breach/decoys,$(BREACH)/decoys.o $(BREACH)/decoys_parts.o))

$(BREACH)/%.o: image-tests/breach/%.c image-tests/breach/breach.mk
	@mkdir -p $(@D)
	@echo "  CC $@";musl-gcc $(BREACH_FLAGS) -c -o $@ $<

$(BREACH)/main-fenced.o: image-tests/breach/main.c image-tests/breach/breach.mk
	@mkdir -p $(@D)
	@echo "  CC $@";musl-gcc $(BREACH_FLAGS) -DFENCED -c -o $@ $<

$(BREACH)/sandbox.o: server/sandbox.c image-tests/breach/breach.mk
	@mkdir -p $(@D)
	@echo "  CC $@";musl-gcc $(BREACH_FLAGS) -c -o $@ $<

-include $(wildcard $(BREACH)/*.d)
