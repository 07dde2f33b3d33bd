# SPDX-License-Identifier: BSD-2-Clause
#
# make             build everything         make run      serve a 1 GiB RAM disk on loopback
# make check       unit tests               make test     everything, all dependencies included
# make integration against a live daemon    make guest    with the kernel initiator, in a VM
# make fuzz [FUZZ_SECONDS=60]   make bench   make lint    make install [PREFIX= DESTDIR=]
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
DISK ?= ram:1G
PORTAL ?= 127.0.0.1:3260
FUZZ_SECONDS ?= 60

WARN := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Werror
HARDEN := -fstack-protector-strong $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
HARDEN += $(if $(SAN),-fno-omit-frame-pointer,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
OPT ?= -O2 -g
PKGS := liburing libcrypto libisal
CPPFLAGS = -I. -Iinclude -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS))
CFLAGS = -std=gnu17 -pthread -fPIE $(OPT) $(WARN) $(HARDEN) $(SANFLAGS) $(EXTRA_CFLAGS)
LDFLAGS = -pthread -pie -Wl,-z,relro,-z,now $(SANFLAGS) $(EXTRA_LDFLAGS)
LDLIBS = $(shell pkg-config --libs $(PKGS))
Q := $(if $(V),,@)

objs = $(patsubst %.c,$(O)/%.o,$(sort $(wildcard $(1))))
LIB := $(call objs,$(addsuffix /*.c,core transport transport/tcp session scsi backstore))
RISERD := $(call objs,tools/riserd/*.c)
BENCH := $(call objs,tools/riser-bench/*.c)
TESTLIB := $(call objs,tests/lib/*.c)
TEST_OBJS := $(call objs,tests/unit/*_test.c tests/integration/*_test.c)
TESTS := $(TEST_OBJS:.o=)
FUZZ_OBJS := $(call objs,tests/fuzz/fuzz_*.c)
FUZZERS := $(FUZZ_OBJS:.o=)
FUZZLIB := $(filter-out $(FUZZ_OBJS),$(call objs,tests/fuzz/*.c))
PROGS := $(if $(RISERD),$(O)/riserd) $(if $(BENCH),$(O)/riser-bench)

all: $(PROGS)
tests: $(TESTS)
fuzzers: $(FUZZERS)

# Objects depend on the command that makes them, archives on the list of their members.
$(O)/.flags: STAMP = $(CC) $(CPPFLAGS) $(CFLAGS)
$(O)/.members: STAMP = $(LIB) $(TESTLIB) $(FUZZLIB)
$(O)/.flags $(O)/.members: FORCE
	@mkdir -p $(@D); echo '$(STAMP)' | cmp -s - $@ || echo '$(STAMP)' > $@

$(O)/%.o: %.c $(O)/.flags
	@mkdir -p $(@D)
	$(Q)$(if $(V),,echo "  CC      $<";) $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/libriser.a: $(LIB)
$(O)/libtest.a: $(TESTLIB)
$(O)/libfuzz.a: $(FUZZLIB)
$(O)/%.a: $(O)/.members
	$(Q)rm -f $@ && ar rcs $@ $(filter %.o,$^)

LINK = $(Q)$(if $(V),,echo "  LINK    $@";) $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LDLIBS)

$(O)/riserd: $(RISERD) $(O)/libriser.a
	$(LINK)
$(O)/riser-bench: $(BENCH) $(O)/libriser.a
	$(LINK)
$(TESTS): %: %.o $(O)/libtest.a $(O)/libriser.a
	$(LINK) $(shell pkg-config --libs cunit)
$(FUZZERS): %: %.o $(O)/libfuzz.a $(O)/libtest.a $(O)/libriser.a
	$(LINK)

# Running

SUBMAKE = $(MAKE) --no-print-directory
BUILD = $(SUBMAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc))
RUN = tests/run --build $(O) $(if $(RESULTS),--results $(RESULTS))
FUZZ = O=$(O)/fuzz CC=clang SAN=fuzzer,address,undefined

run:
	@ci/deps build
	@$(BUILD) $(O)/riserd
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
	@if command -v clang >/dev/null; then $(BUILD) $(FUZZ) fuzzers; fi
	@$(RUN) --name integration tests/integration $(filter $(O)/tests/integration/%,$(TESTS))

guest: all
	@$(RUN) --name guest --timeout 1500 --with ci/guest/run tests/guest

test:
	@ci/deps
	@$(BUILD) all tests
	@rm -f $(O)/results; status=0; for part in check integration guest; do \
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

bench: all
	@BUILD=$(abspath $(O)) SRC=$(CURDIR) RISERD=$(abspath $(O))/riserd \
		RISER_BENCH=$(abspath $(O))/riser-bench tools/riser-bench/run

lint:
	@ci/lint

install: all
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/sbin $(O)/riserd
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(O)/riser-bench
	$(foreach s,1 8,$(foreach m,$(wildcard docs/*.$s),\
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$s $m;))

clean:
	@test ! -e $(O)/Makefile || { echo "clean: $(O) holds the sources" >&2; exit 1; }
	rm -rf -- $(O)

-include $(patsubst %.o,%.d,$(LIB) $(RISERD) $(BENCH) $(TESTLIB) $(TEST_OBJS) \
	$(FUZZ_OBJS) $(FUZZLIB))
.PHONY: all tests fuzzers run check integration guest test fuzz bench lint install clean FORCE
.SECONDARY:
