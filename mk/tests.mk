# SPDX-License-Identifier: GPL-3.0-or-later
# The image, commands that show it, and its tests. The top Makefile includes this.

IMAGE := $(BUILD)/vitrine_$(VERSION).raw
PORT ?= 1965
MKOSI_FOR := $(FOREIGN:%=--architecture=$(FOR) --output-directory=$(BUILD))

# From image-tests/hosts/kinds: the kinds of hosts that some tests run on, and their trees.
kinds_for = $(shell awk -F ' *[|] *' '!/^\#/ && (" " $$3 " ") ~ / $(1) / { print $$1 }' image-tests/hosts/kinds)
others_for = $(filter-out nspawn-257,$(call kinds_for,$(1)))
HOST_KINDS := $(call kinds_for,hosts)
HOST_PARTS := $(HOST_KINDS:%=hosts-%) $(patsubst %,hosts-%,$(call kinds_for,dm-verity))
BREACH_KINDS := $(call kinds_for,breach)
DRILLS := $(patsubst %,breach-drill-%,$(call kinds_for,drill))
PROTECTIONS := $(BREACH_KINDS:%=breach-protections-%)
INTRUDED := $(BREACH_KINDS) $(call kinds_for,intruder)
INTRUDERS := intruder-check-old $(INTRUDED:%=intruder-check-%)
ARM64_PARTS := $(addsuffix -arm64,program image image-file-check reproducible-check breach-programs)
HOST_TREES := $(shell awk -F ' *[|] *' '!/^\#/ && $$2 { sub("systemd", "host-tree", $$2); print $$2 }' image-tests/hosts/kinds | grep -v arm64 | sort -u)
WITH_HOSTS := $(call needs,image host-files host-trees tools-check)

.PHONY: readme-check content-check update-check update-drill commands-check interrupt-check attacks soak soak-check content content-release content-list breach host-trees bench bench-hosts bench-fleet bench-starts bench-aims bench-growth bench-check instructions-check calls-check comparison comparison-check moving-check
.PHONY: by-hand-check plain-check packager-check mkosi-check tools-mkosi profiles-check surface surface-check specification-check bots-check fleet-check port-check clients-check image run boot server-check image-check image-host-check
# Parts of the targets above.
.PHONY: image-file-check reproducible-check trust-check tls-check update-nspawn-257 update-others content-nspawn-257 content-others variants test-programs
.PHONY: commands-nspawn-257 commands-others update-drill-short update-drill-others interrupt-short interrupt-containers interrupt-qemu-257
.PHONY: packages-check packages-lint deploy-check deploy-nspawn-257 deploy-others profiles-nspawn-257 profiles-others bench-programs breach-programs
.PHONY: named vm-check-arm64 unit-check-arm64 breach-drill-qemu-arm64-257 tree-units-arm64 boot-check-arm64 host-tree-257-arm64 $(ARM64_PARTS) $(HOST_PARTS) $(HOST_TREES) $(DRILLS) $(PROTECTIONS)
.PHONY: vm-check intruder-check-short intruder intruder-check intruder-programs $(INTRUDERS)

ifeq ($(PLAIN),)
image: key $(call needs,$(BUILD)/vitrine) ## builds the signed disk image, build/vitrine_VERSION.raw: [ARCH=arm64]
	@[ -e $(IMAGE) ] && [ -e $(BUILD)/image.log ] && [ -z "$$(find mkosi.[!t]* units $(BUILD)/vitrine -newer $(IMAGE))" ] || { \
	    $(ENTER) sh -c '$(MAKE_UNSIGNED_KEY) mkosi --force $(MKOSI_FOR) $(UNSIGNED_FOLDER) $(UNSIGNED_KEY) build >$(BUILD)/image.log 2>&1 || { cat $(BUILD)/image.log; rm -f $(IMAGE); exit 1; }' && \
	    $(SIGN_IMAGE) $(ENTER) sh -c 'for unit in vitrine vitrine-keys; do tools/exposure $(IMAGE) $$unit.service 2>/dev/null; done | \
	        sed -n "s/.* level for /image: exposure of /p" >>$(BUILD)/image.log'; }
	@grep '^image: ' $(BUILD)/image.log
else
image:
	$(no_image)
endif

# The key that signs only capsules, if there is one (make content-key).
CONTENT_KEY = $(if $(wildcard mkosi.content.key),mkosi.content,mkosi)

$(call check_folder,content,DIR,the capsules,make content DIR=/srv/gemini)
content: image ## makes a signed image of your capsules: DIR=folder [ARCH=arm64]
	@tar -C "$(DIR)" -cf - . | $(ENTER) tools/bake-content $(BUILD)/content.raw $(CONTENT_KEY).key $(CONTENT_KEY).crt $(FOR)

# The time from which hosts know which capsules are newer: anything that date(1) takes.
CONTENT_TIME ?= now
CONTENT_RELEASE := build/content
CONTENT_FOR := $(if $(filter aarch64,$(HERE)),arm64,x86-64) $(ALSO_FOR)

$(call check_folder,content-release,DIR,the capsules,make content-release DIR=/srv/gemini)
content-release: key | tools ## makes signed capsules for a web server: DIR=folder [RELEASE_DAYS=90]
	@tar -C "$(DIR)" -cf - . | $(ENTER) tools/release/content $(CONTENT_RELEASE) '$(CONTENT_TIME)' $(UNTIL) $(CONTENT_KEY) $(CONTENT_FOR)

content-list: | tools ## signs the list of capsules again with a new expiry date: [RELEASE_DAYS=90]
	@$(ENTER) tools/release/list $(CONTENT_RELEASE) $(UNTIL) $(CONTENT_KEY).key $(CONTENT_KEY).crt

$(call check_folder,run boot,CONTENT,a folder for each host name)

run: $(if $(PLAIN),program,image host-files) ## runs the image on a test host in a container: [PORT=1965] [CONTENT=folder]
	@tools/run $(if $(PLAIN),program build/vitrine,nspawn-257 $(IMAGE)) $(PORT) "$(CONTENT)"

boot: image ## boots the image in a container, the server as init: [PORT=] [CONTENT=folder]
	@tools/run image $(IMAGE) $(PORT) "$(CONTENT)"

test-programs: | tools-check
	@$(ENTER) $(MAKE) --no-print-directory -f mk/test-programs.mk -j$(JOBS) -s server-tests image-tests soak

# Most of these tests mainly wait for deadlines, so they run in parallel.
server-check: $(call needs,build/vitrine test-programs) ## tests the running server, by another TLS library: [TEST=suite/name]
	@$(call criterion,build/server-tests --jobs $(JOBS))

surface: | tools-check $(FOREIGN:%=tools-arm64-check) ## prints which system calls and arguments the sandbox allows: [ARCH=arm64]
	@$(ENTER) $(MAKE) --no-print-directory -f mk/test-programs.mk $(FOREIGN:%=ARCH=$(FOR)) -s surface
	@$(ENTER) $(FOREIGN:%=qemu-%) $(BUILD)/surface

surface-check: $(call needs,build/vitrine test-programs) ## checks docs/surface.md, and that a test needs each rule
	@$(ENTER) $(MAKE) --no-print-directory -f mk/test-programs.mk -s surface
	@$(ENTER) image-tests/check-surface

specification-check: $(call needs,host-files test-programs) ## checks the numbers in docs/SPECIFICATION.md
	@$(ENTER) $(MAKE) --no-print-directory -f mk/test-programs.mk -s surface
	@$(ENTER) tools/check-specification

bots-check: $(call needs,build/vitrine tools-check) ## tests the recipes in docs/bots.md with the server's log
	@$(ENTER) image-tests/check-bots build/vitrine

fleet-check: $(call needs,build/vitrine tools-fleet) ## tests three machines behind two load balancers: [VISITS=240]
	@$(ENTER) env VISITS=$(VISITS) image-tests/check-fleet build/vitrine

port-check: $(call needs,build/vitrine test-programs) ## tests that the port recovers after its socket was shut down
	@$(ENTER) image-tests/check-port

# The number of requests, and the maximum number of seconds (0: unlimited).
SOAK_REQUESTS ?= 1000000
ATTACK_SECONDS ?= 30
attacks: $(call needs,build/vitrine test-programs) ## attacks at full rate, and shows how a client fares: [ATTACK_SECONDS=30]
	@$(ENTER) image-tests/attacks $(ATTACK_SECONDS) $(or $(VISITS),10000)

soak: $(call needs,build/vitrine test-programs) ## tests endurance for 15 minutes, every response: [SOAK_REQUESTS=1000000]
	@$(ENTER) build/soak build/vitrine $(SOAK_REQUESTS)

soak-check: $(call needs,build/vitrine test-programs) ## runs make soak for 20 seconds
	@$(ENTER) build/soak build/vitrine $(SOAK_REQUESTS) 20

image-check: image-file-check reproducible-check trust-check image-host-check tls-check ## tests the image

image-file-check: $(call needs,image) $(FOREIGN:%=named)
	@$(ENTER) image-tests/check-image $(IMAGE) $(FOREIGN:%=$(FOR))

reproducible-check: $(call needs,image)
	@$(ENTER) image-tests/check-image $(IMAGE) reproducible $(FOREIGN:%=$(FOR))

# The program with function names.
named: $(call needs,program)
	@$(IN_SERVER) $(BUILD)/vitrine-named

# The same targets for arm64, as parts of make check and make check-all.
$(ARM64_PARTS): %-arm64:
	@$(MAKE) --no-print-directory ARCH=arm64 $*

# Variants of the image that tests compare with the real one.
variants: $(call needs,image)
	@$(ENTER) image-tests/variants $(IMAGE) build/variants

trust-check: $(call needs,variants test-programs)
	@$(call criterion,build/image-tests --filter 'trust/*')

tls-check: $(call needs,image tools-all)
	@$(ENTER) image-tests/with-host image $(IMAGE) image-tests/check-tls

profiles-check: $(WITH_HOSTS) ## tests each profile with portablectl alone: [HOSTS=nspawn-257]
	@$(ENTER) image-tests/check-profiles $(IMAGE) $(or $(HOSTS),$(call kinds_for,profiles))

profiles-nspawn-257: $(WITH_HOSTS)
	@$(ENTER) image-tests/check-profiles $(IMAGE) nspawn-257

profiles-others: $(WITH_HOSTS)
	@$(ENTER) image-tests/check-profiles $(IMAGE) $(call others_for,profiles)

plain-check: $(call needs,build/vitrine unit-tests test-programs) ## tests make run and make check where mounts are forbidden
	@$(ENTER) image-tests/check-plain

mkosi-check: $(call needs,image tools-mkosi) ## compares the images that mkosi 25 and mkosi 27 make
	@image-tests/check-mkosi $(IMAGE) build/trees/mkosi-27

# The newest mkosi and the packages that it needs, without those for tests.
tools-mkosi:
	@./tools/tree/make image-tests/trees/mkosi-27 build/trees/mkosi-27

by-hand-check: $(WITH_HOSTS) ## runs each command of docs/by-hand.md
	@$(ENTER) image-tests/check-by-hand

readme-check: $(WITH_HOSTS) ## runs each command of docs/install.md on a fresh server
	@$(ENTER) image-tests/check-readme

deploy-check: $(WITH_HOSTS) $(call needs,variants) ## tests make deploy, by ssh: [HOSTS=nspawn-257]
	@$(ENTER) image-tests/check-deploy $(or $(HOSTS),nspawn-257 $(call others_for,deploy))

deploy-nspawn-257: $(WITH_HOSTS) $(call needs,variants)
	@$(ENTER) image-tests/check-deploy nspawn-257

# Only what depends on the kind of host.
deploy-others: $(WITH_HOSTS) $(call needs,variants)
	@$(ENTER) env FIRST_STEPS=yes image-tests/check-deploy $(call others_for,deploy)

packages-check: $(WITH_HOSTS) $(call needs,packages variants) ## builds .deb and .rpm twice; installs, upgrades and removes them on hosts
	@$(ENTER) image-tests/check-packages

packager-check: $(call needs,program tools-check) ## make install-program, as packagers run it
	@$(ENTER) tools/check-packager

packages-lint: $(call needs,packages tools-all)
	@$(ENTER) image-tests/check-packages lint

update-check: $(WITH_HOSTS) $(call needs,release variants) ## tests updates from a web server: [HOSTS="nspawn-257 nspawn-254 nspawn-262"]
	@$(ENTER) image-tests/check-update $(RELEASE) $(or $(HOSTS),nspawn-257 $(call others_for,update))

update-nspawn-257: $(WITH_HOSTS) $(call needs,release variants)
	@$(ENTER) image-tests/check-update $(RELEASE) nspawn-257

# Only what depends on the version of systemd.
update-others: $(WITH_HOSTS) $(call needs,release variants)
	@$(ENTER) env FIRST_STEPS=yes image-tests/check-update $(RELEASE) $(call others_for,update)

content-check: $(WITH_HOSTS) $(call needs,variants) ## tests capsules from a web server: [HOSTS="nspawn-257 nspawn-254 nspawn-262"]
	@$(ENTER) image-tests/check-content $(or $(HOSTS),nspawn-257 $(call others_for,content))

content-nspawn-257: $(WITH_HOSTS) $(call needs,variants)
	@$(ENTER) image-tests/check-content nspawn-257

# What depends on the version of systemd.
content-others: $(WITH_HOSTS) $(call needs,variants)
	@$(ENTER) env FIRST_STEPS=yes image-tests/check-content $(call others_for,content)

update-drill: $(WITH_HOSTS) $(call needs,release variants) ## plays attackers with the web server or a lost key: [HOSTS=nspawn-257]
	@$(ENTER) image-tests/update-drill $(HOSTS)

update-drill-short: $(WITH_HOSTS) $(call needs,release variants)
	@$(ENTER) env SHORT=yes image-tests/update-drill nspawn-257

update-drill-others: $(WITH_HOSTS) $(call needs,release variants)
	@$(ENTER) image-tests/update-drill $(call others_for,update)

commands-check: $(WITH_HOSTS) $(call needs,variants test-programs) ## tests vitrinectl reload, check, renew, status, visits: [HOSTS="nspawn-257"]
	@$(ENTER) image-tests/check-commands $(or $(HOSTS),nspawn-257)

commands-nspawn-257: $(WITH_HOSTS) $(call needs,variants test-programs)
	@$(ENTER) image-tests/check-commands nspawn-257

commands-others: $(WITH_HOSTS) $(call needs,variants test-programs)
	@$(ENTER) image-tests/check-commands $(call others_for,commands)

interrupt-check: $(WITH_HOSTS) $(call needs,variants) ## kills vitrinectl before each of its steps: [HOSTS="nspawn-257"] [EVERY=1]
	@$(ENTER) image-tests/check-interrupted $(or $(EVERY),1) $(HOSTS)

interrupt-short: $(WITH_HOSTS) $(call needs,variants)
	@$(ENTER) image-tests/check-interrupted 20 nspawn-257

interrupt-containers: $(WITH_HOSTS) $(call needs,variants)
	@$(ENTER) image-tests/check-interrupted 12 $(call kinds_for,interrupt)

interrupt-qemu-257: $(WITH_HOSTS) $(call needs,variants)
	@$(ENTER) image-tests/check-interrupted 200 qemu-257

image-host-check: $(WITH_HOSTS) $(call needs,variants test-programs) ## runs tests on hosts: [HOSTS=nspawn-257] [TEST=suite/name]
	@failed=0; for kind in $(or $(HOSTS),$(HOST_KINDS)); do \
	    $(MAKE) --no-print-directory PREPARED=1 hosts-$$kind || failed=1; done; exit $$failed

vm-check: $(WITH_HOSTS) $(call needs,variants test-programs) ## tests what needs a virtual machine: signed dm-verity, and a page
	@$(ENTER) image-tests/on-hosts $(IMAGE) qemu-257 '@(served|refused)/*'

# The image for arm64. The tests and the host files are the same for all architectures. Each kind of host emulates
# another processor (image-tests/lib/arm64.sh).
IMAGE_ARM64 := build/arm64/vitrine_$(VERSION).raw
ARM64_KINDS := $(call kinds_for,arm64)
WITH_ARM64 := $(call needs,image-arm64 image host-files host-tree-257-arm64 tools-check test-programs)

first_process = $(ENTER) $(MAKE) --no-print-directory -f mk/test-programs.mk ARCH=arm64 -s first

boot-check-arm64: $(call needs,image-arm64 tools-arm64-boot tools-check) ## boots the image for arm64 by itself on emulated processors: [PROCESSORS=]
	@$(first_process)
	@$(ENTER) image-tests/check-boot $(IMAGE_ARM64) $(PROCESSORS)

vm-check-arm64: $(WITH_ARM64) ## tests the image for arm64 on test hosts: [HOSTS=qemu-arm64-257]
	@failed=0; for kind in $(or $(HOSTS),$(ARM64_KINDS)); do \
	    $(ENTER) image-tests/on-hosts $(IMAGE_ARM64) $$kind $(or $(TEST),'served/*') || failed=1; done; exit $$failed

unit-check-arm64: $(call needs,program-arm64 tree-units-arm64 tools-arm64-boot tools-check) ## runs the unit tests on an emulated processor: [TEST=suite/name]
	@$(MAKE) --no-print-directory ARCH=arm64 PREPARED=1 unit-tests
	@$(first_process)
	@$(ENTER) image-tests/check-units build/trees/units-arm64 build/arm64/unit-tests "make $@" $(if $(TEST),--filter '$(TEST)')

$(HOST_PARTS): hosts-%: $(WITH_HOSTS) $(call needs,variants test-programs)
	@$(ENTER) image-tests/on-hosts $(IMAGE) $* $(TEST)

host-trees: $(HOST_TREES) ## makes test hosts with other versions of systemd

# arm64 programs set up this tree, so it needs an emulator.
host-tree-257-arm64: | tools-arm64-check
$(HOST_TREES) host-tree-257-arm64: host-tree-%:
	@./tools/tree/make image-tests/hosts/trees/systemd-$* build/trees/systemd-$*

tree-units-arm64:
	@./tools/tree/make image-tests/hosts/trees/units-arm64 build/trees/units-arm64

breach-programs: $(call needs,image)
	@$(IN_ATTACKS) breach
	@$(ENTER) image-tests/breach/bake $(FOREIGN:%=$(FOR))

breach: $(WITH_HOSTS) $(call needs,breach-programs) ## plays an attacker inside a worker, in four setups: [HOSTS=nspawn-257]
	@failed=0; for kind in $(or $(HOSTS),$(BREACH_KINDS)); do for part in drill protections; do \
	    $(ENTER) image-tests/breach/$$part $$kind || failed=1; done; done; exit $$failed

breach-drill-qemu-arm64-257: $(WITH_ARM64) $(call needs,breach-programs-arm64) ## plays the attacker on a host with arm64: [SHORT=yes]
$(filter-out breach-drill-qemu-arm64%,$(DRILLS)): $(WITH_HOSTS) $(call needs,breach-programs)
$(DRILLS): breach-drill-%:
	@$(ENTER) env SHORT=$(SHORT) image-tests/breach/drill $*

# On these hosts, podman runs the container image.
$(filter breach-drill-podman% intruder-check-podman%,$(DRILLS) $(INTRUDERS)): $(call needs,oci tools-containers)

$(PROTECTIONS): breach-protections-%: $(WITH_HOSTS) $(call needs,breach-programs)
	@$(ENTER) image-tests/breach/protections $*

intruder-programs: $(call needs,image tools-check)
	@$(IN_ATTACKS) intruder
	@$(ENTER) image-tests/intruder/bake

MINUTES ?= 10
intruder: $(WITH_HOSTS) $(call needs,intruder-programs) ## makes random system calls in a worker: [HOSTS=] [MINUTES=10] [SEED=N]
	@failed=0; for kind in $(or $(HOSTS),$(BREACH_KINDS)); do \
	    $(ENTER) image-tests/intruder/intrude $$kind $$(($(MINUTES) * 60)) $(SEED:%=--seed=%) $(FILTER:%=--filter=%) \
	        $(SESSION:%=--session=%) $(if $(SHRINK),--shrink) || failed=1; done; exit $$failed

intruder-check: $(INTRUDERS) ## runs make intruder for two minutes; does it find holes that were closed?

intruder-check-short: $(WITH_HOSTS) $(call needs,intruder-programs)
	@$(ENTER) image-tests/intruder/intrude nspawn-257 45

# Ends as soon as it finds the hole.
intruder-check-old: $(WITH_HOSTS) $(call needs,intruder-programs)
	@$(ENTER) image-tests/intruder/intrude nspawn-257 300 --filter=old

$(INTRUDED:%=intruder-check-%): intruder-check-%: $(WITH_HOSTS) $(call needs,intruder-programs)
	@$(ENTER) image-tests/intruder/intrude $* $(if $(filter qemu-%,$*),40,120)

bench: $(call needs,bench-programs tools-all) ## measures what a visit costs, beside other servers: [ROUNDS=5]
	@$(ENTER) image-tests/bench/compare build/vitrine $(ROUNDS)
	@$(ENTER) image-tests/bench/dearest build/vitrine
	@$(ENTER) image-tests/bench/rules build/vitrine $(ROUNDS)
	@$(IN_ATTACKS) measured
	@$(ENTER) image-tests/bench/split build/vitrine-apart build/vitrine-inside
	@$(ENTER) image-tests/bench/instructions build/vitrine-apart
	@$(ENTER) env SHOW=yes image-tests/check-calls build/vitrine

bench-aims: $(call needs,bench-programs tools-check) ## measures the aims beside molly-brown, and the noise: [ROUNDS=19]
	@$(ENTER) image-tests/bench/aims build/vitrine $(ROUNDS)

bench-growth: $(call needs,bench-programs tools-all) ## measures how the cost of a visit grows: [ROUNDS=3] [POINTS=5]
	@$(ENTER) image-tests/bench/growth build/vitrine $(or $(ROUNDS),3) $(POINTS)

bench-hosts: $(call needs,build/vitrine tools-check) ## measures starts, reloads and memory: [HOST_COUNTS="1 1000 10000"]
	@$(ENTER) image-tests/bench/hosts build/vitrine $(HOST_COUNTS)

bench-fleet: $(call needs,bench-programs tools-fleet) ## measures what a load balancer in front costs: [ROUNDS=5]
	@$(ENTER) image-tests/bench/fleet build/vitrine $(ROUNDS)

bench-starts: $(WITH_HOSTS) $(call needs,bench-programs variants) ## measures the time to the first page, and of builds: [ROUNDS=5]
	@$(ENTER) image-tests/bench/starts $(IMAGE) $(ROUNDS)
	@image-tests/bench/builds

bench-check: $(call needs,bench-programs) ## checks the load client, and what a page and the most expensive handshake cost
	@$(ENTER) image-tests/bench/check build/vitrine
	@$(ENTER) image-tests/bench/dearest build/vitrine 30

instructions-check: $(call needs,bench-programs tools-all) ## counts the instructions of a page, by callgrind: [SHOW=yes]
	@$(IN_ATTACKS) measured
	@$(ENTER) env SHOW=$(SHOW) image-tests/bench/instructions build/vitrine-apart

calls-check: $(call needs,bench-programs) ## counts the system calls of a visit: [SHOW=yes]
	@$(ENTER) env SHOW=$(SHOW) image-tests/check-calls build/vitrine

moving-check: $(call needs,build/vitrine tools-check) ## runs each command of docs/moving-in/
	@$(ENTER) image-tests/check-moving build/vitrine

comparison-check: $(call needs,build/vitrine tools-check) ## checks Vitrine's own column of docs/comparison.md
	@$(ENTER) image-tests/check-comparison build/vitrine

# Not part of make check or make check-all: if another server changes, that is no fault in this one.
comparison: $(call needs,build/vitrine tools-check) ## measures molly-brown for docs/comparison.md as well
	@$(ENTER) image-tests/check-comparison build/vitrine peers

clients-check: $(call needs,build/vitrine tools-all) ## tests the server with clients that people use: openssl, amfora, kristall...
	@$(ENTER) image-tests/clients/check build/vitrine

bench-programs: $(call needs,build/vitrine tools-check)
	@$(ENTER) $(MAKE) --no-print-directory -f mk/bench-programs.mk -j$(JOBS) bench
