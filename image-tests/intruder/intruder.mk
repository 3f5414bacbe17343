# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the watcher of the random intruder: static, so that it runs on any test host. server/server.mk takes this in,
# and builds the test build of the server with the engine inside. Runs in the tools tree.

INTRUDER_WATCHER := $(patsubst %,$(BREACH)/intruder/%.o,watcher looks beside)
$(eval $(call breach_program,intruder/watcher,$(INTRUDER_WATCHER)))

$(BREACH)/intruder/%.o: image-tests/intruder/%.c image-tests/intruder/intruder.mk
	@mkdir -p $(@D)
	@echo "  CC $@";musl-gcc $(BREACH_FLAGS) -c -o $@ $<

-include $(wildcard $(BREACH)/intruder/*.d)
