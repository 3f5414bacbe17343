# SPDX-License-Identifier: GPL-3.0-or-later
# The image, a look at it, and its tests. The top Makefile includes this.

IMAGE := build/vitrine_$(VERSION).raw
PORT ?= 1965

.PHONY: readme-check update-check soak soak-check content breach host-trees bench bench-starts bench-check bench-programs comparison-check moving-check clients-check image run boot server-check image-check image-file-check image-host-check

image: build/vitrine ## the disk image, build/vitrine_VERSION.raw, signed with mkosi.key (made at the first time)
	@[ -e $(IMAGE) ] && [ -e build/image.log ] && [ -e mkosi.key ] && [ -z "$$(find mkosi.[!t]* units $< -newer $(IMAGE))" ] || \
	    $(ENTER) sh -c 'mkosi --force build >build/image.log 2>&1 || { cat build/image.log; rm -f $(IMAGE); exit 1; }; \
	        for unit in vitrine vitrine-keys; do image-tests/exposure $(IMAGE) $$unit.service; done | \
	        sed -n "s/.* level for /image: exposure of /p" >>build/image.log'
	@grep '^image: ' build/image.log

content: image ## a signed image of your capsules, build/content.raw, for vitrinectl content: DIR=folder
	@[ -d "$(DIR)" ] || { echo 'say which folder holds the capsules: make content DIR=/srv/gemini' >&2; exit 64; }
	@tar -C "$(DIR)" -cf - . | $(ENTER) units/bake-content build/content.raw mkosi.key mkosi.crt

run: image host-files ## serves the image on a host in a container: [PORT=1965] [CONTENT=folder]
	@image-tests/run nspawn-257 $(IMAGE) $(PORT) "$(CONTENT)"

boot: image ## boots the image by itself, the server as its init: [PORT=1965] [CONTENT=folder]
	@image-tests/run image $(IMAGE) $(PORT) "$(CONTENT)"

server-check: build/vitrine ## tests of the running server: every rule of the protocol, by a client on another TLS library
	@$(ENTER) $(MAKE) --no-print-directory -f image-tests/tests.mk -j$(JOBS) server-tests
	@$(ENTER) build/server-tests $(CRITERION) --jobs $(JOBS)

# Requests, and seconds at most (0: no bound).
SOAK_REQUESTS ?= 1000000
soak: soak-program ## endurance, for a quarter of an hour, with every body looked at: [SOAK_REQUESTS=1000000]
	@$(ENTER) build/soak build/vitrine $(SOAK_REQUESTS)

soak-check: soak-program ## the same for 20 seconds
	@$(ENTER) build/soak build/vitrine $(SOAK_REQUESTS) 20

.PHONY: soak-program
soak-program: build/vitrine
	@$(ENTER) $(MAKE) --no-print-directory -f image-tests/tests.mk -j$(JOBS) soak

image-check: image-file-check image-host-check ## tests of the image

image-file-check: image
	@$(ENTER) image-tests/check-image $(IMAGE)

readme-check: image host-files host-trees ## does what README says on a fresh server
	@$(ENTER) image-tests/check-readme

update-check: image host-files host-trees release ## hosts that fetch new versions from a web server: [HOSTS="nspawn-257 nspawn-254 nspawn-262"]
	@$(ENTER) image-tests/variants $(IMAGE) build/variants
	@$(ENTER) image-tests/check-update $(RELEASE) $(HOSTS)

image-host-check: image host-files host-trees ## tests that need hosts: [HOSTS="image nspawn-254 nspawn-257 nspawn-262 qemu-257"]
	@$(ENTER) $(MAKE) --no-print-directory -f image-tests/tests.mk -j$(JOBS) image-tests
	@$(ENTER) image-tests/variants $(IMAGE) build/variants
	@$(ENTER) image-tests/on-hosts $(IMAGE) $(HOSTS)

host-trees: | tools ## the file systems of test hosts with other versions of systemd
	@for version in 254 257 262; do \
	    ./mkosi.tools.make image-tests/hosts/trees/systemd-$$version build/trees/systemd-$$version || exit; done

breach: image host-files host-trees ## plays the attacker from inside of a worker, in four setups: [HOSTS="nspawn-257 qemu-257"]
	@$(SERVER) breach
	@failed=0; for kind in $(or $(HOSTS),nspawn-257 qemu-257); do for part in drill protections; do \
	    $(ENTER) image-tests/breach/$$part $$kind || failed=1; done; done; exit $$failed

bench: bench-programs ## what a visit costs, beside other servers; what the key process costs: [ROUNDS=5]
	@$(ENTER) image-tests/bench/compare build/vitrine $(ROUNDS)
	@$(SERVER) measured
	@$(ENTER) image-tests/bench/split build/vitrine-apart build/vitrine-inside

bench-starts: bench-programs image host-files host-trees ## how long until the first page, and how long building takes: [ROUNDS=5]
	@$(ENTER) image-tests/bench/starts $(IMAGE) $(ROUNDS)
	@image-tests/bench/builds

bench-check: bench-programs ## that the load client of the measurements counts what goes wrong
	@$(ENTER) image-tests/bench/check build/vitrine

moving-check: build/vitrine ## do capsules move in from other servers as docs/moving-in/ says?
	@$(ENTER) image-tests/check-moving build/vitrine

comparison-check: build/vitrine ## is the comparison with other servers true of Vitrine and molly-brown?
	@$(ENTER) image-tests/check-comparison build/vitrine

clients-check: build/vitrine ## do clients that people use get on with the server? openssl, amfora, kristall...
	@$(ENTER) image-tests/clients/check build/vitrine

bench-programs: build/vitrine
	@$(ENTER) $(MAKE) --no-print-directory -f image-tests/bench.mk -j$(JOBS) bench
