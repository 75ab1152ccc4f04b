# cxm: see README.md. "make help" lists what people type.

EXTENSION = cxm
MODULE_big = cxm

# the version stands in cxm.control and nowhere else
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" cxm.control)

OBJS = \
	src/cxm.o \
	src/components.o \
	src/components_core.o \
	src/ratings.o \
	src/ratings_core.o

PARTS := $(shell sed -n 's/\#.*//; s/[[:space:]]*$$//; /./s|.*|sql/&.sql|p' sql/parts.list)
DATA = $(wildcard sql/updates/cxm--*--*.sql)
DATA_built = sql/cxm--$(EXTVERSION).sql

PG_CPPFLAGS = -DCXM_VERSION='"$(EXTVERSION)"'
EXTRA_CLEAN = sql/cxm--$(EXTVERSION).sql

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS does not know which headers an object was made from
override CFLAGS += -MMD -MP
-include $(OBJS:.o=.d)

sql/cxm--$(EXTVERSION).sql: sql/parts.list sql/assemble $(PARTS) cxm.control
	sql/assemble > $@.tmp && mv $@.tmp $@
