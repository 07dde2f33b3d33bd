# SPDX-License-Identifier: BSD-2-Clause
#
# make             build everything         make run      serve a 1 GiB RAM disk on loopback
# make check       unit tests               make test     everything, all dependencies included
# make integration against a live daemon    make guest    with the kernel initiator, in a VM
# make fuzz [FUZZ_SECONDS=60]              make bench [ONLY=MARK|PATTERN QUICK=1 JSON=FILE]
# make lint                                make install [PREFIX= DESTDIR= UNITDIR=]
# make package-test  Debian packages, built, installed and used in a clean root
#
# O=DIR    where to build (default build/)  CC=gcc|clang  V=1 shows the commands
# SAN=address,undefined | SAN=thread        sanitizers, in an out folder of their own
#
# Nothing below runs a tool that may be missing until a recipe needs it: `make run` and
# `make test` must parse on a machine that has make and nothing else.

comma := ,
O ?= build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
PREFIX ?= /usr/local
UNITDIR ?= $(PREFIX)/lib/systemd/system
DISK ?= ram:1G
PORTAL ?= 127.0.0.1:3260
FUZZ_SECONDS ?= 60

WARN := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Werror
HARDEN := -fstack-protector-strong $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
HARDEN += $(if $(SAN),-fno-omit-frame-pointer,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
OPT ?= -O2 -g
# gcc clears and copies structures by "rep stos" and "rep movs", and who then reads one of their fields
# waits until all stores before have reached the cache: 1/3 of the time of a 4 KiB write.
STRINGS := unrolled_loop:256:noalign$(comma)libcall:-1:noalign
STRINGS := -mmemset-strategy=$(STRINGS) -mmemcpy-strategy=$(STRINGS)
STRINGS := $(shell $(CC) $(STRINGS) -E -x c /dev/null >/dev/null 2>&1 && echo '$(STRINGS)')
PKGS := liburing libcrypto libisal libconfuse jansson libmicrohttpd
RDMA_PKGS := libibverbs
CPPFLAGS = -I. -Iinclude -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS))
CFLAGS = -std=gnu17 -pthread -fPIE $(OPT) $(STRINGS) $(WARN) $(HARDEN) $(SANFLAGS) $(EXTRA_CFLAGS)
LDFLAGS = -pthread -pie -Wl,-z,relro,-z,now $(SANFLAGS) $(EXTRA_LDFLAGS)
LDLIBS = $(shell pkg-config --libs $(PKGS))
RDMA_CFLAGS = -fPIC -fvisibility=hidden $(shell pkg-config --cflags $(RDMA_PKGS))
Q := $(if $(V),,@)

objs = $(patsubst %.c,$(O)/%.o,$(sort $(wildcard $(1))))
LIB := $(call objs,$(addsuffix /*.c,core transport transport/tcp session scsi backstore))
RDMA := $(call objs,transport/rdma/*.c)
RISERD := $(call objs,tools/riserd/*.c)
BENCH := $(call objs,tools/riser-bench/*.c)
ISNS := $(call objs,tools/riser-isns/*.c)
RISER := $(call objs,tools/riser/*.c)
TGTADM := $(call objs,tools/tgtadm/*.c)
TESTLIB := $(call objs,tests/lib/*.c)
TEST_OBJS := $(call objs,tests/unit/*_test.c tests/integration/*_test.c)
TESTS := $(TEST_OBJS:.o=)
FUZZ_OBJS := $(call objs,tests/fuzz/fuzz_*.c)
FUZZERS := $(FUZZ_OBJS:.o=)
MEMORY_OBJS := $(call objs,tests/conformance/*.c)
MEMORY := $(if $(MEMORY_OBJS),$(O)/tests/conformance/memory_target)
FUZZLIB := $(filter-out $(FUZZ_OBJS),$(call objs,tests/fuzz/*.c))
PROGS := $(if $(RISERD),$(O)/riserd) $(if $(BENCH),$(O)/riser-bench) $(if $(RISER),$(O)/riser)
PROGS += $(if $(TGTADM),$(O)/tgtadm)
PLUGIN := $(if $(RDMA),$(O)/riser-rdma.so) $(if $(ISNS),$(O)/riser-isns)

all: $(PROGS) $(PLUGIN)
tests: $(TESTS) $(MEMORY)
fuzzers: $(FUZZERS)
memory-target: $(MEMORY)

# Objects depend on the command that makes them, archives on the list of their members.
$(O)/.flags: STAMP = $(CC) $(CPPFLAGS) $(CFLAGS) $(RDMA_CFLAGS)
$(O)/.members: STAMP = $(LIB) $(RDMA) $(RISERD) $(RISER) $(TESTLIB) $(FUZZLIB)
# riserd and its plug-in share structures: only with the same headers do they fit each other.
$(O)/.build: STAMP = $(shell cat include/*.h core/*.h | sha256sum | cut -c 1-16)
$(O)/.flags $(O)/.members $(O)/.build: FORCE
	@pkg-config --exists --print-errors $(PKGS) $(RDMA_PKGS) librdmacm && \
		echo '#include <libisns/isns.h>' | $(CC) -E -o /dev/null - || \
		{ echo "to build riser, as root: ci/deps build" >&2; exit 1; }
	@mkdir -p $(@D); echo '$(STAMP)' | cmp -s - $@ || echo '$(STAMP)' > $@

$(O)/%.o: %.c $(O)/.flags
	@mkdir -p $(@D)
	$(Q)$(if $(V),,echo "  CC      $<";) $(CC) $(CPPFLAGS) $(CFLAGS) $(OWN) -MMD -MP -c -o $@ $<
$(RDMA): private OWN = $(RDMA_CFLAGS)
$(O)/tools/riserd/metrics_page.o: tools/riserd/page.html
$(O)/transport/plugin.o: private OWN = $(PLUGIN_BUILD)
$(O)/transport/rdma/plugin.o: private OWN = $(RDMA_CFLAGS) $(PLUGIN_BUILD)
$(O)/transport/plugin.o $(O)/transport/rdma/plugin.o: $(O)/.build
PLUGIN_BUILD = -DTRANSPORT_PLUGIN_BUILD='"$(file < $(O)/.build)"'

$(O)/libriser.a: $(LIB)
# For tests: with rdma-core's functions replaced by a test's.
$(O)/librdma.a: $(filter-out %/libs.o,$(RDMA))
# For tests: all of riser but its main().
$(O)/librisercommand.a: $(filter-out %/main.o,$(RISER))
# For tests: all of riserd but its main().
$(O)/libriserd.a: $(filter-out %/main.o,$(RISERD))
$(O)/libtest.a: $(TESTLIB)
$(O)/libfuzz.a: $(FUZZLIB)
$(O)/%.a: $(O)/.members
	$(Q)rm -f $@ && ar rcs $@ $(filter %.o,$^)

LINK = $(Q)$(if $(V),,echo "  LINK    $@";) $(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) \
	$(ARCHIVES) $(LDLIBS)
ARCHIVES = -Wl,--start-group $(filter %.a,$^) -Wl,--end-group

# All of the library, and visible: the plug-in uses what riserd alone does not.
$(O)/riserd: private ARCHIVES = -rdynamic \
	-Wl,--whole-archive $(filter %.a,$^) -Wl,--no-whole-archive
$(O)/riserd: $(RISERD) $(O)/libriser.a
	$(LINK)
# What the plug-in expects of riserd stays undefined, so the loader has to say if it is there.
$(O)/riser-rdma.so: $(RDMA) $(O)/riserd
	$(Q)$(if $(V),,echo "  LINK    $@";) $(CC) $(filter-out -pie,$(LDFLAGS)) -shared -o $@ \
		$(filter %.o,$^) $(shell pkg-config --libs $(RDMA_PKGS)) -ldl
	@nm -D --defined-only $@ | grep -q ' riser_plugin$$' || \
		{ echo "$@ does not export riser_plugin" >&2; rm -f $@; exit 1; }
	@LD_PRELOAD=$(abspath $@) ASAN_OPTIONS=verify_asan_link_order=0 $(O)/riserd --version \
		> /dev/null || { rm -f $@; exit 1; }
$(O)/riser-bench: $(BENCH) $(O)/libriser.a
	$(LINK)
$(O)/riser: $(RISER)
	$(Q)$(if $(V),,echo "  LINK    $@";) $(CC) $(LDFLAGS) -o $@ $^ -ljansson -ledit -lm
# Under the name of tgt-admin it is that.
$(O)/tgtadm: $(TGTADM) $(O)/librisercommand.a
	$(Q)$(if $(V),,echo "  LINK    $@";) $(CC) $(LDFLAGS) -o $@ $^ -ljansson
	@ln -sf tgtadm $(@D)/tgt-admin
# A program, because its library ends the process that it is in when it likes.
$(O)/riser-isns: $(ISNS)
	$(Q)$(if $(V),,echo "  LINK    $@";) $(CC) $(LDFLAGS) -o $@ $^ -lisns
$(TESTS): %: %.o $(O)/libtest.a $(O)/libriser.a
	$(LINK) $(shell pkg-config --libs cunit)
# With the fuzz targets' objects too, but for libFuzzer's main().
$(MEMORY): private LDFLAGS := $(subst fuzzer,fuzzer-no-link,$(LDFLAGS))
$(MEMORY): $(MEMORY_OBJS) $(O)/libriser.a
	$(LINK)
$(FUZZERS): %: %.o $(O)/libfuzz.a $(O)/libtest.a $(O)/libriser.a
	$(LINK)
$(filter $(O)/tests/unit/transport_rdma_% $(O)/tests/fuzz/fuzz_iser%,$(TESTS) $(FUZZERS)): \
	$(O)/librdma.a
$(filter $(O)/tests/unit/riserd_% $(O)/tests/fuzz/fuzz_con% $(O)/tests/fuzz/fuzz_sta%,$(TESTS) $(FUZZERS)): $(O)/libriserd.a
$(filter $(O)/tests/fuzz/fuzz_import,$(FUZZERS)): $(O)/librisercommand.a $(O)/libriserd.a
$(filter $(O)/tests/unit/riser_%,$(TESTS)): $(O)/librisercommand.a
$(filter $(O)/tests/unit/riser_%,$(TESTS)): private LDLIBS += -ljansson -ledit -lm

# Running

SUBMAKE = $(MAKE) --no-print-directory
BUILD = $(SUBMAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc))
RUN = tests/run --build $(O) $(if $(RESULTS),--results $(RESULTS))
FUZZ = O=$(O)/fuzz CC=clang SAN=fuzzer,address,undefined
FUZZ_BUILD = if command -v clang >/dev/null; then $(BUILD) $(FUZZ) fuzzers memory-target; fi

run:
	@ci/deps build
	@$(BUILD) $(O)/riserd $(PLUGIN)
	@echo "To use the disk, as root in another terminal:"
	@echo "  iscsiadm -m discovery -t sendtargets -p $(PORTAL)"
	@echo "  iscsiadm -m node -T iqn.2026-11.localhost:riser -p $(PORTAL) --login"
	@echo "Ctrl-C stops riserd."
	@# On a terminal riserd gets its own foreground group, so that Ctrl-C reaches riserd and not make.
	@cmd='setpriv --pdeathsig TERM $(O)/riserd -p $(PORTAL) $(DISK)'; \
		[ -t 0 ] && exec bash -mc "$$cmd"; exec $$cmd

check: tests
	@$(RUN) --name unit --tap $(filter $(O)/tests/unit/%,$(TESTS))

integration: all tests
	@$(FUZZ_BUILD)
	@$(RUN) --name integration tests/integration $(filter $(O)/tests/integration/%,$(TESTS))

# What integration wants, built in the time in which unit tests sleep. What is wrong with it is said there.
AHEAD = $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(($$(nproc) + 1)))
fuzz-ahead:
	+@nice -n 19 sh -c '$(FUZZ_BUILD)' >/dev/null 2>&1 || :

guest: all
	@$(RUN) --name guest --timeout 2400 --with ci/guest/run tests/guest

test:
	@ci/deps
	@$(BUILD) all tests
	@rm -f $(O)/results; status=0; for part in "$(AHEAD) check fuzz-ahead" integration guest; do \
		$(SUBMAKE) $$part RESULTS=$(O)/results || status=1; done; \
		tests/run --sum $(O)/results unit integration guest || status=1; exit $$status

fuzz:
	@ci/deps build test
	@test -n '$(FUZZERS)' || { echo 'fuzz: no targets' >&2; exit 1; }
	@$(BUILD) $(FUZZ) fuzzers
	@$(SUBMAKE) -k $(FUZZ) $(patsubst $(O)/tests/fuzz/%,run-%,$(FUZZERS))

run-fuzz_%: $(O)/tests/fuzz/fuzz_%
	@mkdir -p $(O)/corpus/$* $(O)/findings
	@echo "  FUZZ    $* for $(FUZZ_SECONDS) s"
	@$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -verbosity=0 -print_final_stats=1 \
		$(addprefix -dict=,$(wildcard tests/fuzz/$*.dict)) \
		-artifact_prefix=$(O)/findings/$*- $(O)/corpus/$* $(wildcard tests/fuzz/seeds/$*) \
		> $(O)/corpus/$*.log 2>&1 || { tail -n 60 $(O)/corpus/$*.log; \
		echo "fuzz: $*: a finding, kept in $(O)/findings/$*-*"; exit 1; }
	@grep executed_units $(O)/corpus/$*.log

bench:
	@ci/deps build guest bench
	@$(BUILD) all
	@tools/riser-bench/run $(if $(ONLY),--only '$(ONLY)') $(if $(QUICK),--quick) \
		$(if $(JSON),--json '$(JSON)') $(abspath $(O))

lint:
	@ci/lint

install: all
	@$(SUBMAKE) install-files
# What is built already.
install-files:
	packaging/install '$(O)' '$(DESTDIR)' '$(PREFIX)' '$(UNITDIR)'

# Root and a Debian mirror: packages are built, installed and used in roots of their own.
package-test:
	@$(RUN) --name package --timeout 2400 tests/package

clean:
	@test ! -e $(O)/Makefile || { echo "clean: $(O) holds the sources" >&2; exit 1; }
	rm -rf -- $(O)

-include $(patsubst %.o,%.d,$(LIB) $(RDMA) $(RISERD) $(BENCH) $(ISNS) $(RISER) $(TGTADM) $(TESTLIB) $(TEST_OBJS) \
	$(FUZZ_OBJS) $(FUZZLIB) $(MEMORY_OBJS))
.PHONY: all tests fuzzers memory-target run check integration fuzz-ahead guest test fuzz bench lint install install-files package-test clean FORCE
.SECONDARY:
