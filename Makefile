# SPDX-License-Identifier: GPL-3.0-or-later
#
# make help lists what can be made. Everything is compiled and run in the tools tree (mkosi.tools/), so that every host
# gives the same result. ENTER= (empty) uses this machine's own compilers instead.

# PLAIN=yes: this machine forbids mounts, as ordinary containers do. It can make neither a tools tree nor an image.
ifeq ($(origin ENTER),undefined)
ENTER := $(shell ./tools/tree/possible)
PLAIN := $(if $(ENTER),,yes)
endif
no_image = @echo '$@: this machine forbids mounts, as ordinary containers do, so no image can be made here and nothing was made; use a virtual machine, or a privileged container. make run serves the program by itself' >&2; exit 69
include mk/arch.mk
VERSION := $(shell cat mkosi.version)
JOBS := $(shell nproc)
# make check builds what its parts need once, before they run in parallel (PREPARED=1), so they must not build it again.
needs = $(if $(PREPARED),,$(1))
# Runs Criterion tests, only those that match TEST=suite/name if it is set. Each failure shows the command that runs it
# again.
criterion = $(ENTER) tools/criterion "make $@" $(1) $(if $(TEST),--filter '$(TEST)')
# Variables are checked while make reads its files, before it makes anything: a recipe runs after its prerequisites, which
# may take minutes or make a key.
#   $(call check_folder,TARGETS,VARIABLE,WHAT,EXAMPLE): must be a folder; may be empty if there is no EXAMPLE
#   $(call check_file,TARGETS,VARIABLE,WHAT): must be a readable file, or empty
is = $(shell test $(1) '$(2)' && echo yes)
check_folder = $(if $(filter $(1),$(MAKECMDGOALS)),$(if $($(2)),$(if $(call is,-d,$($(2))),,$(error \
    there is no folder $($(2)); $(2)= names the one that holds $(3))),$(if $(4),$(error say which folder holds $(3): $(4)))))
check_file = $(if $(filter $(1),$(MAKECMDGOALS)),$(if $($(2)),$(if $(call is,-r,$($(2))),,$(error \
    $(2)=$($(2)) cannot be read; name $(3)))))
PREFIX ?= /usr/local
PROFILES := $(PREFIX)/lib/systemd/portable/profile
PROFILE_FILES := $(wildcard host/profile/*/*.conf)
MANUALS := $(wildcard server/man/*.[58] host/*.8)
COMPLETIONS := host/completion/vitrinectl host/completion/_vitrinectl
TRANSFERS := $(wildcard host/sysupdate/*.transfer)
HOST_UNITS := $(wildcard host/units/*)
UNIT_FOLDER := $(PREFIX)/lib/systemd/system
BASH_COMPLETION := $(PREFIX)/share/bash-completion/completions/vitrinectl
ZSH_COMPLETION := $(PREFIX)/share/zsh/site-functions/_vitrinectl
IN_SERVER := $(ENTER) $(MAKE) --no-print-directory -f mk/program.mk -j$(JOBS) $(FOR:%=ARCH=%)
IN_ATTACKS := $(ENTER) $(MAKE) --no-print-directory -f mk/attack-programs.mk -j$(JOBS) $(FOR:%=ARCH=%)

# These variables are meant for a packager's own compilers. The tools tree gives everybody the same result.
ifneq ($(ENTER),)
given := $(foreach variable,CC CPPFLAGS CFLAGS LDFLAGS WOLFSSL_ARCHIVE MIME_TYPES,$(if $(filter command,$(origin $(variable))),$(variable)=))
ifneq ($(strip $(given)),)
$(error $(strip $(given)) needs ENTER= as well, which takes the compilers at hand in place of the tools tree)
endif
endif

export WERROR
.PHONY: deploy all help install-program tools tools-check tools-packages tools-all tools-oci tools-containers tools-rebuild tools-fleet tools-manifests tools-arm64 tools-arm64-boot tools-arm64-check program unit-tests check check-all precommit compile-commands unit-check mutants lint manual-check pictures screenshot format install uninstall host-files packages release release-unsigned rebuild-release rebuild-check lock-check keys-check release-list key next-key content-key release-check clean distclean
all: $(BUILD)/vitrine

help: ## prints this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: ## makes the tools tree, mkosi.tools/, once
ifneq ($(ENTER),)
	@./tools/tree/make
else ifneq ($(PLAIN),)
	@./tools/tree/plain
endif

# The stages of the tools tree (tools/tree/packages): for tests; for packages; for make check-all and make bench; for
# container images, and for their tests; for tests of releases; for load balancers; for manifests; for compiling for
# arm64, for emulating it, and for making the tree of its test hosts.
tools-check tools-packages tools-all tools-oci tools-containers tools-rebuild tools-fleet tools-manifests tools-arm64 tools-arm64-boot tools-arm64-check: tools-%:
ifneq ($(ENTER),)
	@./tools/tree/make tools/tree/packages mkosi.tools $*
else ifneq ($(PLAIN),)
	@./tools/tree/plain
endif

$(BUILD)/vitrine: $(call needs,program)

program: | tools $(FOREIGN:%=tools-arm64) ## compiles the program, build/vitrine: [ARCH=arm64] for build/arm64/vitrine
	@$(IN_SERVER) program

# The path of the sample capsule on the packaged system; the program is compiled with it.
SAMPLE := $(PREFIX)/share/vitrine/sample

install-program: ## installs the program, its pages and the sample capsule, for packagers
	@$(IN_SERVER) PREFIX=$(PREFIX) program
	@install -D -m 0755 build/vitrine $(DESTDIR)$(PREFIX)/bin/vitrine
	@$(call install_manuals,$(wildcard server/man/*.[58]))
	@cd mkosi.extra/usr/share/vitrine/sample && find . -type f -exec install -D -m 0644 {} $(DESTDIR)$(SAMPLE)/{} \;

unit-tests: | tools-check
	@$(IN_SERVER) unit-tests

check: ## runs all tests except slow ones; ends with "N passed, N failed"
	@tools/tally check

check-all: ## runs the slow tests: long fuzzing, proofs, soak, other clients...
	@tools/tally check-all

precommit: | tools-check ## checks what you changed, in seconds: layout, scripts, unit tests
	@ENTER='$(ENTER)' tools/precommit

compile-commands: | tools-check ## writes compile_commands.json for editors
	@$(ENTER) tools/compile-commands '$(CURDIR)' >build/compile_commands.json && mv build/compile_commands.json .

unit-check: $(call needs,unit-tests) ## runs the unit tests, plain and under the sanitizers: [TEST=suite/name]
	@failed=0; $(call criterion,build/unit-tests --jobs $(JOBS)) || failed=$$?; [ $$failed -ne 66 ] || exit 66; \
	    $(call criterion,build/unit-tests-sanitized --jobs 1) || failed=1; exit $$failed
# The sanitized tests run one at a time, because Criterion itself sometimes leaks memory when it runs several jobs.

# Not part of check or check-all: it takes minutes to hours, and a person must judge each surviving change.
mutants: $(call needs,unit-tests build/vitrine test-programs) ## finds changes that no test notices: [SEED=] [COUNT=] [FILES=] [SERVED=no]
	@$(ENTER) env JOBS=$(or $(MUTANTS_AT_ONCE),1) SERVED=$(SERVED) unshare --pid --net --fork --kill-child --mount-proc \
	    tools/mutants $(or $(SEED),1) $(or $(COUNT),100) $(FILES)

lint: | tools-check ## checks layout and includes of the sources, and scripts
	@$(ENTER) tools/lint

manual-check: $(call needs,build/vitrine tools-check) ## compares man pages, help, pictures and docs/protocol.md with the program
	@failed=0; for part in check-manual check-help check-protocol; do $(ENTER) tools/$$part build/vitrine || failed=1; done; exit $$failed

pictures: | tools-check ## draws the pictures in docs/, from their sources and tables
	@$(ENTER) sh -c 'tools/draw docs/picture.pikchr >build/picture.svg && tools/chart drill >build/drill.svg && \
	    tools/chart cost >build/cost.svg && mv build/picture.svg build/drill.svg build/cost.svg docs/'

screenshot: $(call needs,build/vitrine tools-all) ## makes docs/screenshot.png: the sample capsule in kristall
	@$(ENTER) unshare --net sh -c 'ip link set lo up && tools/screenshot build/vitrine build/screenshot.png' && \
	    mv build/screenshot.png docs/

format: | tools-check ## formats the sources with clang-format
	@$(ENTER) sh -c 'clang-format -i $$(find server image-tests -name "*.[ch]")'

# Joins the parts into one file, so that a host never has parts of two versions.
build/vitrinectl: host/vitrinectl $(wildcard host/vitrinectl.d/*.sh)
	@mkdir -p $(@D)
	@awk '/^\. "\$$here\// { gsub(/.*\/|"/, ""); while ((getline line <("host/vitrinectl.d/" $$0)) > 0) print line; next } \
	    !/^here=|^# shellcheck source=|^# On a host this is one file/' $< >$@.new && chmod 0755 $@.new && mv $@.new $@

# The files that make install installs and vitrinectl uninstall removes, including the certificate if there is one.
VERITY_CERTIFICATE ?= $(wildcard mkosi.crt)
VERITY_FOLDER ?= /etc/verity.d
FILES := $(PREFIX)/share/vitrine/files
INSTALLED = $(PREFIX)/sbin/vitrinectl $(PROFILE_FILES:host/profile/%=$(PROFILES)/%) $(if $(VERITY_CERTIFICATE),$(VERITY_FOLDER)/vitrine.crt) $(TRANSFERS:host/sysupdate/%=$(PREFIX)/share/vitrine/%) \
    $(HOST_UNITS:host/units/%=$(UNIT_FOLDER)/%) $(BASH_COMPLETION) $(ZSH_COMPLETION) \
    $(foreach page,$(MANUALS),$(PREFIX)/share/man/man$(patsubst .%,%,$(suffix $(page)))/$(notdir $(page))) $(FILES)

install_manuals = for page in $(1); do \
    install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page\#\#*.}/$${page\#\#*/} || exit; done

install: build/vitrinectl ## installs the files of a host: [PREFIX=] [DESTDIR=] [VERITY_CERTIFICATE=]
	@install -D -m 0755 build/vitrinectl $(DESTDIR)$(PREFIX)/sbin/vitrinectl
	@for file in $(PROFILE_FILES:host/profile/%=%); do \
	    install -D -m 0644 host/profile/$$file $(DESTDIR)$(PROFILES)/$$file || exit; done
	@[ -z "$(VERITY_CERTIFICATE)" ] || install -D -m 0644 $(VERITY_CERTIFICATE) $(DESTDIR)$(VERITY_FOLDER)/vitrine.crt
	@install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/vitrine $(TRANSFERS)
	@install -d $(DESTDIR)$(UNIT_FOLDER)
	@for unit in $(HOST_UNITS); do sed 's,/usr/local/sbin/,$(PREFIX)/sbin/,' $$unit >$(DESTDIR)$(UNIT_FOLDER)/$${unit##*/} && \
	    chmod 0644 $(DESTDIR)$(UNIT_FOLDER)/$${unit##*/} || exit; done
	@install -D -m 0644 host/completion/vitrinectl $(DESTDIR)$(BASH_COMPLETION)
	@install -D -m 0644 host/completion/_vitrinectl $(DESTDIR)$(ZSH_COMPLETION)
	@$(call install_manuals,$(MANUALS))
	@printf '%s\n' $(INSTALLED) >$(DESTDIR)$(FILES) && chmod 0644 $(DESTDIR)$(FILES)

uninstall: ## removes what make install installed
	@rm -f $(INSTALLED:%=$(DESTDIR)%)
	@for folder in $(sort $(dir $(PROFILE_FILES:host/profile/%=$(PROFILES)/%))) $(dir $(FILES)); do rmdir $(DESTDIR)$$folder 2>/dev/null || :; done

host-files: build/vitrine-host_$(VERSION).tar ## packs the same files into an archive to unpack at / of a server

build/vitrine-host_$(VERSION).tar: build/vitrinectl $(PROFILE_FILES) $(TRANSFERS) $(HOST_UNITS) $(MANUALS) $(COMPLETIONS) $(call needs,| image)
	@rm -rf build/host-files
	@umask 022; $(MAKE) --no-print-directory install DESTDIR=build/host-files
	@tar -C build/host-files --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$$(tools/fixed date) -cf $@ $$(cd build/host-files && find * -type f)
	@rm -rf build/host-files

# How to run commands that sign with mkosi.key. Only this machine's own openssl can reach a token; the tools tree
# cannot. PASSPHRASE= names a file with the passphrase or PIN; otherwise openssl asks for it.
KEY_KIND := $(shell tools/release/sign kind)
SIGN = $(if $(filter token,$(KEY_KIND)),PASSPHRASE='$(PASSPHRASE)',$(ENTER) env $(if $(PASSPHRASE),PASSPHRASE=/dev/fd/9))
WITH_PASSPHRASE = $(if $(PASSPHRASE),9<'$(PASSPHRASE)')

# mkosi cannot sign with a key that has a passphrase or is in a token. In that case it signs with a temporary key, in
# another folder, and that signature is then replaced.
ifneq ($(KEY_KIND),plain)
UNSIGNED_FOLDER = --output-directory=$(BUILD)/unsigned
UNSIGNED_IMAGE = $(BUILD)/unsigned/vitrine_$(VERSION).raw
UNSIGNED_KEY := --verity-key=build/unsigned.key --verity-certificate=build/unsigned.crt
MAKE_UNSIGNED_KEY := [ -e build/unsigned.key ] || tools/release/new-key build/unsigned "Not signed" >/dev/null;
SIGN_IMAGE = rm -f $(IMAGE) && $(SIGN) tools/release/sign-image $(UNSIGNED_IMAGE) $(WITH_PASSPHRASE) && mv $(UNSIGNED_IMAGE) $(IMAGE) &&
endif

# HOST counts only on the command line, because some shells set an environment variable with that name.
deploy: ## installs image and capsule by ssh: SERVER=root@host PAGES=folder [HOST=name]
	@HOST='$(if $(filter command line,$(origin HOST)),$(HOST))' MAKE='$(MAKE)' deploy/deploy

# A packager who sets VERITY_CERTIFICATE, even to nothing, needs no image and no key.
NEED_IMAGE = $(if $(filter command line,$(origin VERITY_CERTIFICATE)),,image)

packages: build/vitrinectl $(call needs,$(NEED_IMAGE) tools-packages) ## makes the host files as .deb and .rpm: [VERITY_CERTIFICATE=] [PACKAGER=]
	@rm -rf build/package
	@umask 022; $(MAKE) --no-print-directory install DESTDIR=build/package PREFIX=/usr VERITY_FOLDER=/usr/lib/verity.d
	@$(ENTER) host/packages/make $(VERSION) build/package build
	@rm -rf build/package

RELEASE := build/release
RELEASE_TIME = $(shell TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 2025-01-01T00:00:00Z)
COMMIT = $(shell git rev-parse HEAD 2>/dev/null)
CHANGED = $(shell [ -z "$$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || echo changed)

# Hosts refuse the list of versions from the beginning of this day on.
RELEASE_DAYS ?= 90
UNTIL := $(shell date --utc --date='+$(RELEASE_DAYS) days' +%Y-%m-%d)

# The image for each architecture, as ARCHITECTURE=FILE.
RELEASED := $(if $(filter aarch64,$(HERE)),arm64,x86-64)=build/vitrine_$(VERSION).raw $(foreach arch,$(ALSO_FOR),$(arch)=build/$(arch)/vitrine_$(VERSION).raw)

# Makes everything except the signatures of list and statement. Anybody can rebuild these files.
release-unsigned: $(call needs,host-files packages oci $(ALSO_FOR:%=image-%))
	@mkdir -p build
	@tools/release/notes $(VERSION) >build/notes.md
	@$(ENTER) tools/release/make $(VERSION) $(RELEASE_TIME) $(RELEASE).new '$(COMMIT)' '$(CHANGED)' $(RELEASED) <build/notes.md
	@rm build/notes.md

release: release-unsigned ## makes a release, build/release/, signed: [RELEASE_DAYS=90] [REGISTRY=]
	@$(SIGN) tools/release/statement sign $(RELEASE).new $(VERSION) $(WITH_PASSPHRASE)
	@$(SIGN) tools/release/list $(RELEASE).new $(UNTIL) $(WITH_PASSPHRASE)
	@rm -rf $(RELEASE) && mv $(RELEASE).new $(RELEASE)
	@echo 'release: $(RELEASE)/: '$$(find $(RELEASE) -type f | wc -l)' files, signed with mkosi.key; hosts take the list until $(UNTIL) (make release-list renews it)'
	@[ -z "$(REGISTRY)" ] || $(MAKE) --no-print-directory PREPARED=1 oci-push

# The certificate must be one that you already trust. The default is for releases signed with your own key.
CERTIFICATE ?= mkosi.crt

$(call check_folder,rebuild-release,DIR,the release,make rebuild-release DIR=folder CERTIFICATE=vitrine.crt)
$(call check_file,rebuild-release,CERTIFICATE,the certificate that you trust)
rebuild-release: ## makes a release again, without its key, and compares: DIR= [CERTIFICATE=]
	@tools/release/rebuild '$(DIR)' '$(CERTIFICATE)'

release-list: ## signs the list again with a new expiry date: [RELEASE_DAYS=90]
	@$(SIGN) tools/release/list $(RELEASE) $(UNTIL) $(WITH_PASSPHRASE)

key: | tools ## makes the key that signs images, mkosi.key, if there is none
	@[ -e mkosi.key ] && [ -e mkosi.crt ] || { $(ENTER) tools/release/new-key mkosi "Vitrine image" >/dev/null && \
	    echo 'image: made mkosi.key (keep it secret, it is not under version control), which signs images from now on, and mkosi.crt, which hosts need to trust them.' >&2; }

next-key: | tools ## makes a second signing key, mkosi.next.key, which the next release announces
	@$(ENTER) tools/release/new-key mkosi.next "Vitrine image"

content-key: | tools ## makes a key for make content only, mkosi.content.key
	@$(ENTER) tools/release/new-key mkosi.content "Vitrine capsules"

release-check: $(call needs,release variants) ## checks that a release is complete and correct
	@$(MAKE) --no-print-directory release RELEASE=build/release-again UNTIL=$(UNTIL) >/dev/null
	@failed=0; $(ENTER) image-tests/check-release build/release build/release-again || failed=1; \
	    tools/check-notes || failed=1; rm -rf build/release-again; exit $$failed

keys-check: $(call needs,image release tools-rebuild) ## signs with a passphrase and by a token: are the bytes the same?
	@$(ENTER) image-tests/check-keys $(IMAGE) $(RELEASE)

lock-check: $(call needs,release) ## tests the lock of the tools tree
	@$(ENTER) unshare --net image-tests/check-lock

rebuild-check: $(call needs,release tools-rebuild variants) ## rebuilds the release as another user would, half a year later
	@image-tests/check-rebuild $(RELEASE)

clean: ## removes build/ except downloads, trees, and the programs of the cluster
	@find build -mindepth 1 -maxdepth 1 ! -name downloads ! -name trees ! -name kubernetes -exec rm -rf --one-file-system {} + 2>/dev/null || :

distclean: ## removes everything that was made except the signing keys
	@rm -rf --one-file-system build mkosi.tools mkosi.tools.new

include mk/tests.mk
include mk/oci.mk
include mk/examine.mk
