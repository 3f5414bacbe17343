# SPDX-License-Identifier: GPL-3.0-or-later
# The container image, the files to run it, and the tests of both. The top Makefile includes this.

OCI := build/vitrine_$(VERSION).oci.tar
# mkosi makes the same tree as for the disk image. The compression is zstd because gzip writes the time into its header.
oci_layout = $(MAKE_UNSIGNED_KEY) { mkosi $(UNSIGNED_KEY) --format=oci $(2:%=--architecture=%) --output-directory=$(1) --output=layout \
    --compress-output=zstd --force build >$(1).log 2>&1 || { cat $(1).log; exit 1; }; }
# The credentials that podman login, skopeo login or docker login wrote for the calling user.
AUTH ?= $(firstword $(wildcard $(REGISTRY_AUTH_FILE) $(XDG_RUNTIME_DIR)/containers/auth.json $(HOME)/.config/containers/auth.json \
    $(HOME)/.docker/config.json))

.PHONY: oci oci-key oci-push content-oci oci-check container-check quadlet-check manifests-check tools-kubernetes kubernetes-api-check kubernetes-check

ifeq ($(PLAIN),)
oci: key oci-key $(call needs,build/vitrine $(ALSO_FOR:%=program-%)) ## builds the container image, build/vitrine_VERSION.oci.tar, signed with oci.key
	@mkdir -p build/oci $(ALSO_FOR:%=build/oci/%)
	@[ -e $(OCI) ] && [ -z "$$(find mkosi.[!t]* units tools/oci tools/release/bill build/vitrine $(ALSO_FOR:%=build/%/vitrine) -newer $(OCI))" ] || \
	    $(ENTER) sh -c '$(call oci_layout,build/oci)$(foreach arch,$(ALSO_FOR), && $(call oci_layout,build/oci/$(arch),$(arch))) && \
	        tools/oci/make $(OCI) $(VERSION) build/oci/layout $(ALSO_FOR:%=build/oci/%/layout)'
	@$(ENTER) tools/oci/sign $(OCI)
else
oci:
	$(no_image)
endif

oci-key: | $(call needs,tools-oci) ## makes the key that signs container images, oci.key, if there is none
	@[ -e oci.key ] && [ -e oci.pub ] || $(ENTER) tools/oci/new-key

# make release publishes at its end, so a wrong name is refused at its beginning.
ifneq ($(filter oci-push,$(MAKECMDGOALS))$(if $(REGISTRY),$(filter release,$(MAKECMDGOALS))),)
registry_fault := $(shell tools/oci/push name '$(REGISTRY)' 2>&1)
$(if $(registry_fault),$(error $(registry_fault)))
$(call check_file,oci-push release,AUTH,the file that podman login wrote)
endif
oci-push: $(call needs,oci) ## copies the container image to a registry, signed: REGISTRY=host/name [AUTH=]
	@cat $(AUTH) /dev/null | $(ENTER) tools/oci/push $(OCI) $(VERSION) '$(REGISTRY)'

TAG ?= 1
$(call check_folder,content-oci,DIR,the capsules,make content-oci DIR=/srv/gemini)
# The key is made only after the capsules are found good.
content-oci: | $(call needs,tools-oci) ## makes a container image of your capsules, signed: DIR=folder [TAG=1]
	@tar -C "$(DIR)" -cf - . | $(ENTER) tools/oci/content 'build/capsules_$(TAG).oci.tar' '$(TAG)'
	@$(MAKE) --no-print-directory oci-key
	@$(ENTER) tools/oci/sign 'build/capsules_$(TAG).oci.tar'

oci-check: $(call needs,image $(ALSO_FOR:%=image-%) oci tools-containers) ## tests the container image, its signature, and a registry
	@$(ENTER) unshare --net image-tests/check-oci $(OCI) $(IMAGE) $(foreach arch,$(ALSO_FOR),build/$(arch)/$(notdir $(IMAGE)))

container-check: $(call needs,oci tools-containers) ## tests the container image under podman, with the units of deploy/podman/
	@$(ENTER) image-tests/check-container $(OCI)

quadlet-check: $(call needs,oci tools-containers) ## tests the units of deploy/podman/ under systemd; time to the first page
	@$(ENTER) image-tests/check-quadlet $(OCI)

manifests-check: $(call needs,build/vitrine tools-manifests) ## checks deploy/kubernetes/: schema, Pod Security, and the containers
	@$(ENTER) image-tests/check-manifests build/vitrine

# A cluster of its own, from the source of Debian 12. What is compiled stays in its folder.
KUBERNETES := build/kubernetes
IN_KUBERNETES = [ "$$(id -u)" -eq 0 ] || { echo '$@: nodes of a cluster need root: run this as root' >&2; exit 77; }; TREE=$(KUBERNETES)/tree $(ENTER)
KUBERNETES_PROGRAMS := kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet

tools-kubernetes:
ifneq ($(ENTER),)
	@./tools/tree/make image-tests/trees/kubernetes $(KUBERNETES)/tree
else
	$(no_image)
endif

# Neither is a part of make check or make check-all: compiling takes too long (docs/CONTRIBUTING.md).
kubernetes-api-check: tools-kubernetes ## checks deploy/kubernetes/ by a real API server
	@$(IN_KUBERNETES) image-tests/cluster/compile $(KUBERNETES) kube-apiserver
	@$(IN_KUBERNETES) image-tests/check-kubernetes $(KUBERNETES)

kubernetes-check: $(call needs,oci) tools-kubernetes ## also runs it in a cluster: updates, drained nodes, killed pods: [VISITS=1000]
	@$(IN_KUBERNETES) image-tests/cluster/compile $(KUBERNETES) $(KUBERNETES_PROGRAMS)
	@$(IN_KUBERNETES) env VISITS=$(VISITS) TEST='$(TEST)' image-tests/check-kubernetes $(KUBERNETES) $(OCI)
