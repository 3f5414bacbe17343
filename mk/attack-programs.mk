# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the programs that attack and measure the server from inside. Runs in the tools tree.
#
#   make -f mk/attack-programs.mk [ARCH=arm64] [BUILD=folder] [breach|intruder|measured]
#
# breach    the attempts as a separate program, the decoys that they target, and the server with the attempts linked in
# intruder  the watcher, and the server with an engine linked in that makes random system calls
# measured  the server without a sandbox: with a separate key process, and with the keys in the worker
#           (image-tests/bench/split, instructions)

.PHONY: breach intruder measured
breach:
include mk/program.mk

BREACH := $(OBJECTS)/breach
BREACH_FLAGS := $(COMMON) -Iimage-tests/breach -Iserver -O2 -g0 -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections
INSIDE_FLAGS := $(PROGRAM_FLAGS) -Iimage-tests/breach -Iimage-tests/intruder

breach: $(addprefix $(BUILD)/breach/,attempts attempts-fenced decoys vitrine)
intruder: $(addprefix $(BUILD)/intruder/,watcher vitrine) $(addprefix $(BUILD)/breach/,attempts decoys)
measured: $(BUILD)/vitrine-apart $(BUILD)/vitrine-inside

# ---- separate programs: static, so that they run in any image and on any test host ----

# A test build of the server contains these, too: everything except the files with main functions.
ATTEMPTS := $(patsubst image-tests/breach/%.c,$(BREACH)/%.o,\
    $(filter-out %/main.c %/worker.c %/without.c %/decoys.c %/decoys_parts.c,$(wildcard image-tests/breach/*.c)))

$(BUILD)/breach/attempts: $(BREACH)/main.o $(ATTEMPTS)
$(BUILD)/breach/attempts-fenced: $(BREACH)/main-fenced.o $(BREACH)/without.o $(BREACH)/sandbox.o $(ATTEMPTS)
$(BUILD)/breach/attempts-fenced: MORE := -Wl,--wrap=syscall,--wrap=prctl
$(BUILD)/breach/decoys: $(BREACH)/decoys.o $(BREACH)/decoys_parts.o
$(BUILD)/intruder/watcher: $(patsubst %,$(BREACH)/intruder/%.o,watcher looks beside)

$(addprefix $(BUILD)/,breach/attempts breach/attempts-fenced breach/decoys intruder/watcher):
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(call link_static,$^,$(MORE))

$(BREACH)/%.o: image-tests/breach/%.c mk/attack-programs.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) $(BREACH_FLAGS) -c -o $@ $<

$(BREACH)/main-fenced.o: image-tests/breach/main.c mk/attack-programs.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) $(BREACH_FLAGS) -DFENCED -c -o $@ $<

$(BREACH)/sandbox.o: server/common/sandbox.c mk/attack-programs.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) $(BREACH_FLAGS) -c -o $@ $<

$(BREACH)/intruder/%.o: image-tests/intruder/%.c mk/attack-programs.mk
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) $(BREACH_FLAGS) -c -o $@ $<

# ---- the server with additions ----

IN_BREACH := $(OBJECTS)/program/breach/worker.o $(ATTEMPTS)
IN_INTRUDER := $(patsubst %,$(OBJECTS)/program/intruder/%.o,worker engine filter) $(BREACH)/surroundings.o $(BREACH)/tools.o
MEASURED := $(filter-out %/sandbox.o,$(PROGRAM_OBJECTS)) $(OBJECTS)/program/bench/no_sandbox.o
INSIDE := $(filter-out %/signing_client.o,$(MEASURED)) $(OBJECTS)/program/bench/signing_inside.o

# image-tests/breach/worker.c and image-tests/intruder/worker.c explain what replaces which function.
$(BUILD)/breach/vitrine: $(PROGRAM_OBJECTS) $(IN_BREACH)
$(BUILD)/breach/vitrine: MORE := \
    -Wl,--wrap=main,--wrap=processors_allowed,--wrap=sandbox_enter,--wrap=signing_client_open,--wrap=serve_path,--wrap=worker_serve,--wrap=connection_end
$(BUILD)/intruder/vitrine: $(PROGRAM_OBJECTS) $(IN_INTRUDER)
$(BUILD)/intruder/vitrine: MORE := \
    -Wl,--wrap=main,--wrap=processors_allowed,--wrap=syscall,--wrap=worker_serve,--wrap=send,--wrap=epoll_wait
# Keeps function names, so that callgrind can report which functions are expensive (image-tests/bench/instructions).
$(BUILD)/vitrine-apart: private STRIPPED :=
$(BUILD)/vitrine-apart: $(MEASURED)
$(BUILD)/vitrine-inside: $(INSIDE)

$(addprefix $(BUILD)/,breach/vitrine intruder/vitrine vitrine-apart vitrine-inside): $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(call link_static,$(filter %.o,$^) $(WOLFSSL)/lib/libwolfssl.a,$(MORE))

$(OBJECTS)/program/breach/%.o: image-tests/breach/%.c mk/attack-programs.mk | $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) $(INSIDE_FLAGS) -c -o $@ $<

$(OBJECTS)/program/intruder/%.o: image-tests/intruder/%.c mk/attack-programs.mk | $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) $(INSIDE_FLAGS) -c -o $@ $<

$(OBJECTS)/program/bench/%.o: image-tests/bench/%.c mk/attack-programs.mk | $(WOLFSSL)/lib/libwolfssl.a
	@mkdir -p $(@D)
	$(call QUIET,CC)$(MUSL_GCC) $(INSIDE_FLAGS) -c -o $@ $<
