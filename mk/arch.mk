# SPDX-License-Identifier: GPL-3.0-or-later
# The architecture to build for: ARCH=arm64 or ARCH=x86-64, as mkosi names them; by default, that of this machine. Files
# for another architecture are built in build/arm64 or build/x86-64; everything else is in its usual place.

HERE := $(shell uname -m)
machine_named = $(patsubst arm64,aarch64,$(patsubst x86-64,x86_64,$(1)))
# ARCH counts only on the command line, because some shells set an environment variable with that name.
FOR := $(if $(filter command,$(firstword $(origin ARCH))),$(ARCH))
MACHINE := $(call machine_named,$(or $(FOR),$(HERE)))
FOREIGN := $(filter-out $(HERE),$(MACHINE))

BUILD ?= build
DOWNLOADS := $(BUILD)/downloads
ifneq ($(FOREIGN),)
ifneq ($(HERE) $(FOR),x86_64 arm64)
$(error ARCH=$(FOR) cannot be made on this machine ($(HERE)); on x86-64, ARCH is x86-64 or arm64)
endif
override BUILD := $(BUILD)/$(FOR)
endif

# Container images and releases also include this architecture, if its program can be compiled here.
ALSO_FOR := $(if $(filter x86_64,$(HERE)),arm64)

# The compiler for musl, and the gcc that links its programs.
MUSL_GCC := $(if $(FOREIGN),$(MACHINE)-linux-musl-gcc,musl-gcc)
GCC := $(if $(FOREIGN),$(MACHINE)-linux-gnu-)gcc
