# cxm: see README.md. "make help" lists what people type.

EXTENSION = cxm
MODULE_big = cxm

# the version stands in cxm.control and nowhere else
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" cxm.control)

# libphonenumber, and what it needs, is in a library of its own: see src/normalize_phone.c
PHONE_OBJS = src/normalize_phone.o src/normalize_phone_core.o
PHONE_LIBS = -lphonenumber -lstdc++

# LAPACK, and what it needs, is in one, too: see src/drivers.c
DRIVERS_OBJS = src/drivers.o src/drivers_core.o
DRIVERS_SHARED = src/comoments_core.o src/ratings_core.o src/rows.o
DRIVERS_LIBS = -llapack

OBJS = $(filter-out $(PHONE_OBJS) $(DRIVERS_OBJS),$(patsubst %.c,%.o,$(sort $(wildcard src/*.c))))

# in load order, so by manifest and not by wildcard
PARTS := $(shell sed -n 's/\#.*//; s/[[:space:]]*$$//; /./s|.*|sql/&.sql|p' sql/parts.list)
DATA = $(wildcard sql/updates/cxm--*--*.sql)
DATA_built = sql/cxm--$(EXTVERSION).sql

PG_CPPFLAGS = -DCXM_VERSION='"$(EXTVERSION)"'
EXTRA_CLEAN = $(OBJS:.o=.d) $(PHONE_OBJS) $(PHONE_OBJS:.o=.d) $(DRIVERS_OBJS) $(DRIVERS_OBJS:.o=.d) \
	$(foreach library,cxm_phone cxm_drivers,$(library).so $(library).dylib $(library).dll) src/built-for tmp_check

# "make installcheck" runs these two on a server that is up; "make check" runs all tests on one of its own
REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=cxm
ISOLATION = $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --load-extension=cxm

PG_CONFIG ?= pg_config

# These goals are scripts. They install what is missing, so they must work before there is any pg_config.
SCRIPTED = help setup check demo bench lint format dist

ifeq ($(filter-out $(SCRIPTED),$(or $(MAKECMDGOALS),all)),)

.PHONY: $(SCRIPTED)

# What was given on the command line (PG_CONFIG=...) reaches the make that a script calls; -n and -j do not, nor
# does DATA, which means something else to PGXS.
run = @MAKEFLAGS='-- $(filter-out DATA=%,$(MAKEOVERRIDES))' MFLAGS=

help:
	@echo 'make check      install what is missing, build, run every test on a throwaway server'
	@echo 'make demo       the story on a throwaway server; DATA=dir tells it with real data'
	@echo 'make bench      speed against what people write by hand'
	@echo 'make            build             make install      into the server of PG_CONFIG'
	@echo 'make lint       warnings, clang-tidy, cppcheck      make format      lays out the lines of src/ you changed'
	@echo 'make dist       the archive for PGXN                make setup       only install what is missing'
	@echo 'make installcheck   regression and isolation tests on the running server of PGHOST, PGPORT'
	@echo
	@echo 'PG_CONFIG=path  another server to build for, install into and run'
	@echo 'PGHOST=host     check, demo, bench: a running server instead of a throwaway one'
	@echo 'SUITE= TEST=    check: only these suites (unit regress isolation pgtap tap docs), only these tests'

setup:
	$(run) scripts/setup

check:
	$(run) scripts/check

demo:
	$(run) scripts/prepare demo
	$(run) scripts/with-cluster $(if $(DATA),--data '$(DATA)') scripts/demo

bench:
	$(run) scripts/prepare build
	$(run) env CXM_MEMORY=$${CXM_MEMORY:-quarter} scripts/with-cluster scripts/bench

lint:
	$(run) scripts/lint

format:
	$(run) scripts/setup lint
	git clang-format --extensions c,h HEAD -- src

dist: cxm-$(EXTVERSION).zip

# what is committed, without what .gitattributes marks export-ignore
cxm-$(EXTVERSION).zip:
	git archive --format=zip --prefix=cxm-$(EXTVERSION)/ -o $@ HEAD

.PHONY: cxm-$(EXTVERSION).zip

else

PG_MAJOR := $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
ifeq ($(PG_MAJOR),)
$(error $(PG_CONFIG) does not run: "make setup" installs PostgreSQL, PG_CONFIG=path chooses one)
endif
ifneq ($(shell test $(PG_MAJOR) -ge 14 && echo yes),yes)
$(error cxm needs PostgreSQL 14 or later, $(PG_CONFIG) is of $(PG_MAJOR))
endif

PGXS := $(shell $(PG_CONFIG) --pgxs)

# a server built with JIT wants bitcode too; that is no reason to fail where its clang is not installed
PG_CLANG := $(shell sed -n 's/^CLANG[ 	]*=[ 	]*//p' $(dir $(PGXS))../Makefile.global)
ifeq ($(shell command -v $(or $(PG_CLANG),no-clang)),)
override with_llvm := no
endif

include $(PGXS)

# PGXS does not know which headers an object was made from
override CFLAGS += -MMD -MP
override CXXFLAGS += -MMD -MP
-include $(OBJS:.o=.d) $(PHONE_OBJS:.o=.d) $(DRIVERS_OBJS:.o=.d)

# sums of ratings: loops of known length over integers
src/ratings_core.o: override CFLAGS += $(CFLAGS_UNROLL_LOOPS) $(CFLAGS_VECTORIZE)

# a session that loads the library looks up each symbol that might be of another one: its own are bound here
# (PGXS of 16 and later hides them)
ifeq ($(PORTNAME),linux)
$(shlib): override LDFLAGS_SL += -Wl,-Bsymbolic
endif

# nor for which server and with which flags
BUILT_FOR := $(strip $(shell $(PG_CONFIG) --version --includedir-server | tr '\n' ' ') $(CC) $(CXX) $(COPT) $(PG_CFLAGS) $(PG_CXXFLAGS))
$(shell echo '$(BUILT_FOR)' | cmp -s - src/built-for || echo '$(BUILT_FOR)' > src/built-for)
$(OBJS) $(OBJS:.o=.bc) $(PHONE_OBJS) $(DRIVERS_OBJS): src/built-for

# libraries beside the one that PGXS makes
PHONE_LIBRARY = cxm_phone$(DLSUFFIX)
DRIVERS_LIBRARY = cxm_drivers$(DLSUFFIX)

all: $(PHONE_LIBRARY) $(DRIVERS_LIBRARY)
install: install-libraries
uninstall: uninstall-libraries

$(PHONE_LIBRARY): $(PHONE_OBJS)
	$(LINK.shared) -o $@ $(PHONE_OBJS) $(LDFLAGS) $(LDFLAGS_SL) $(SHLIB_LINK) $(PHONE_LIBS)

$(DRIVERS_LIBRARY): $(DRIVERS_OBJS) $(DRIVERS_SHARED)
	$(LINK.shared) -o $@ $(DRIVERS_OBJS) $(DRIVERS_SHARED) $(LDFLAGS) $(LDFLAGS_SL) $(SHLIB_LINK) $(DRIVERS_LIBS)

.PHONY: install-libraries uninstall-libraries
install-libraries: $(PHONE_LIBRARY) $(DRIVERS_LIBRARY) installdirs
	$(INSTALL_SHLIB) $(PHONE_LIBRARY) $(DRIVERS_LIBRARY) '$(DESTDIR)$(pkglibdir)/'

uninstall-libraries:
	rm -f '$(DESTDIR)$(pkglibdir)/$(PHONE_LIBRARY)' '$(DESTDIR)$(pkglibdir)/$(DRIVERS_LIBRARY)'

sql/cxm--$(EXTVERSION).sql: sql/parts.list sql/assemble $(PARTS) cxm.control
	sql/assemble > $@.tmp && mv $@.tmp $@

endif
