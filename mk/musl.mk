# SPDX-License-Identifier: GPL-3.0-or-later
#
# Static, position-independent programs on musl. musl-gcc cannot link these by itself (its -static-pie makes a dynamic
# program), so this lists the parts explicitly.
#
#   $(call link_static,OBJECTS AND LIBRARIES[,MORE OPTIONS])    a recipe's command; writes $@

MUSL := /usr/lib/$(MACHINE)-linux-musl/
START := $(MUSL)rcrt1.o $(MUSL)crti.o $(shell $(GCC) -print-file-name=crtbeginS.o)
END := $(shell $(GCC) -print-file-name=crtendS.o) $(MUSL)crtn.o

STRIPPED := $(comma)--strip-all
link_static = $(GCC) -nostdlib -static-pie -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack$(STRIPPED) $(2) -o $@ \
    $(START) $(1) -Wl,--start-group $(MUSL)libc.a -lgcc -lgcc_eh -Wl,--end-group $(END)
