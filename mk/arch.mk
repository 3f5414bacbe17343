# SPDX-License-Identifier: GPL-3.0-or-later
# For which kind of machine: ARCH=arm64 or ARCH=x86-64, named as in mkosi; without it, the kind of this machine. What is
# made for another kind has a folder of its own, build/arm64; all else is where it always is.

HERE := $(shell uname -m)
machine_named = $(patsubst arm64,aarch64,$(patsubst x86-64,x86_64,$(1)))
# It is asked for on the command line alone: some shells have a variable of that name.
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

# Container images and releases are for this kind of machine and, where a program for it can be compiled here, for this one.
ALSO_FOR := $(if $(filter x86_64,$(HERE)),arm64)

# The compiler on musl, and the one with which it is linked.
MUSL_GCC := $(if $(FOREIGN),$(MACHINE)-linux-musl-gcc,musl-gcc)
GCC := $(if $(FOREIGN),$(MACHINE)-linux-gnu-)gcc
