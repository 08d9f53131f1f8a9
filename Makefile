# tawny: large language models from GGUF files on the CPU alone.
# `make help` lists the targets.

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
B       := build
PREFIX  ?= /usr/local
PKGS    := libxxhash libpcre2-8 libutf8proc jansson
CFLAGS  ?= -O3 -g

WARN    := -Wall -Wextra -Wconversion -Wshadow -Wvla -Werror
TUNE    := $(firstword $(foreach z,znver5 znver4 znver3 generic,$(shell $(CC) -mtune=$(z) -E -xc /dev/null >/dev/null 2>&1 && echo $(z))))
HARDEN  := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE
ALL     := -std=c11 -D_GNU_SOURCE -I. -Isrc -MMD -MP -fopenmp -ffp-contract=off -fno-math-errno -mtune=$(TUNE) \
           $(WARN) $(HARDEN) $(shell pkg-config --cflags $(PKGS)) $(SAN)
LIBS    := $(shell pkg-config --libs $(PKGS)) -fopenmp -lm -lpthread
LINK    := -pie -Wl,-z,relro,-z,now $(SAN)

# Only objects in simd/ whose name ends in a tier get that tier's instructions.
avx2    := -mavx2 -mfma -mf16c -mbmi2
avx512  := $(avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512vbmi -mprefer-vector-width=512

LIB_SRC  := $(wildcard src/base/*.c src/gguf/*.c src/text/*.c src/engine/*.c quant/*.c simd/*.c models/*.c)
CLI_SRC  := $(wildcard src/cli/*.c src/server/*.c)
TEST_SRC := $(wildcard tests/test_*.c) tests/main.c
obj       = $(patsubst %.c,$(B)/%.o,$(1))

.PHONY: all help clean check
all: $(B)/tawny ## build the program (build/tawny)

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

$(B)/simd/%_avx2.o: ISA := $(avx2)
$(B)/simd/%_avx512.o: ISA := $(avx512)
$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL) $(CFLAGS) $(ISA) -c $< -o $@

$(B)/libtawny.a: $(call obj,$(LIB_SRC))
	@rm -f $@
	ar rcs $@ $^

$(B)/tawny: $(call obj,$(CLI_SRC)) $(B)/libtawny.a
	$(CC) $(LINK) $^ $(LIBS) -o $@

# A suite a file: tests/test_NAME.c defines `Suite *suite_NAME(void)`.
$(B)/tests/suites.h: $(TEST_SRC) Makefile
	@mkdir -p $(@D)
	@for s in $(patsubst tests/test_%.c,%,$(filter tests/test_%,$(TEST_SRC))); do echo "SUITE($$s)"; done > $@
$(B)/tests/main.o: $(B)/tests/suites.h
$(B)/tests/%.o: ALL += $(shell pkg-config --cflags check) -I$(B)/tests
$(B)/tests/check: $(call obj,$(TEST_SRC)) $(B)/libtawny.a
	$(CC) $(LINK) $^ $(shell pkg-config --libs check) $(LIBS) -o $@

check: $(B)/tests/check $(B)/tawny ## build and run every test
	$(B)/tests/check

clean: ## remove build/
	rm -rf $(B)

-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(CLI_SRC) $(TEST_SRC)))
