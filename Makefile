# tawny: large language models from GGUF files on the CPU alone.
# `make help` lists the targets; the variables that you may set:
#   CC=clang-19   CFLAGS="-O3 -g"   B=build   PREFIX=/usr/local   DESTDIR=   WITHOUT="libedit page ..."   V=1

ifeq ($(origin CC),default)
CC      := gcc
endif
B       := build
PREFIX  ?= /usr/local
CFLAGS  ?= -O3 -g
VERSION := $(shell sed -n 's/^.define TAWNY_VERSION "\(.*\)"/\1/p' src/tawny.h)
SOMAJOR := $(firstword $(subst ., ,$(VERSION)))
Q       := $(if $(V),,@)
SAY      = $(if $(V),,@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,echo "  cc $<"; ))
JOBS     = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
AGAIN    = +@$(MAKE) --no-print-directory $(JOBS)

LIB_SRC  := $(wildcard src/base/*.c src/gguf/*.c src/text/*.c src/engine/*.c quant/*.c simd/*.c models/*.c)
CLI_SRC   = $(wildcard src/cli/*.c) $(if $(filter libmicrohttpd,$(HAVE)),$(wildcard src/server/*.c),src/server/json_limits.c)
# tests/kernels.c is a program of its own, tests/fuzz/NAME.c a fuzz target, bench/NAME.c a program.
TEST_SRC := $(filter-out tests/kernels% tests/mkmodel%,$(wildcard tests/*.c))
FUZZ_SRC := $(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))
BENCH_SRC := $(wildcard bench/*.c)
obj       = $(patsubst %.c,$(B)/%.o,$(1))
exe       = $(patsubst %.c,$(B)/%,$(1))
LIB_OBJ  := $(call obj,$(LIB_SRC))

# What the code is compiled with. Hardening may be left out only for the sanitizers (HARDEN=).
WARN    := -Wall -Wextra -Wconversion -Wno-enum-float-conversion -Wshadow -Wvla -Werror
HARDEN  := $(if $(filter -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3) -fstack-protector-strong \
           -fstack-clash-protection
FLAGS   := -std=c11 -D_GNU_SOURCE -I. -Isrc -MMD -MP -fopenmp -ffp-contract=off -fno-math-errno $(WARN) $(HARDEN) $(SAN)
LDFLAGS := -Wl,-z,relro,-z,now,-z,noexecstack $(SAN)
# Only objects in simd/ whose name ends in a tier get that tier's instructions.
avx2    := -mavx2 -mfma -mf16c -mbmi2
avx512  := $(avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512vbmi -mprefer-vector-width=512

# What was found on this machine is kept in $(B)/config.mk, and made anew when the question changes.
NEEDED   := libxxhash libutf8proc jansson
OPTIONAL := $(filter-out $(WITHOUT),openblas libedit libcurl libcrypto libmicrohttpd libseccomp)
HAVE     := $(shell for p in $(OPTIONAL); do pkg-config --exists $$p && echo $$p; done 2>/dev/null)
QUESTION := $(strip $(CC) $(CFLAGS) $(FLAGS) $(LDFLAGS) $(avx512) $(HAVE))
# The page of the server is bundled by npm, where that is (src/server/page).
PAGE     := $(if $(filter page,$(WITHOUT)),without,$(if $(shell command -v npm),with,no-npm))
UPPER     = $(shell echo $(1) | tr a-z- A-Z_)
TUNE      = $(firstword $(foreach z,znver5 znver4 znver3,$(shell \
              $(CC) -mtune=$(z) -E -xc /dev/null >/dev/null 2>&1 && echo $(z))) generic)
OUTER    := help clean deps demo check bench fuzz asan ubsan tsan
ifneq ($(filter-out $(OUTER),$(or $(MAKECMDGOALS),all)),)
include $(B)/config.mk
ifneq ($(QUESTION),$(ANSWERS))
$(B)/config.mk: FORCE
endif
endif
$(B)/config.mk:
	@mkdir -p $(@D)
	@pkg-config --exists --print-errors $(NEEDED) || { echo 'Libraries are missing: `make deps` installs them'; exit 1; }
	@{ echo 'ANSWERS := $(QUESTION)'; \
	   echo 'FLAGS += -mtune=$(TUNE) $(foreach p,$(HAVE),-DHAVE_$(call UPPER,$(p)))' $$(pkg-config --cflags $(NEEDED) $(HAVE)); \
	   echo 'LIBS := -fopenmp -lm -lpthread' $$(pkg-config --libs $(NEEDED)); \
	   echo 'CLI_LIBS :=' $(if $(filter-out openblas,$(HAVE)),$$(pkg-config --libs $(filter-out openblas,$(HAVE)))); } > $@
FORCE:

# ---- the targets ----
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: FORCE all help deps demo check suite replay install page page-test gpu-bandwidth bench mca fuzz supported clients schemathesis soak storm vmath-sweep asan ubsan tsan lint clean
all: $(B)/tawny $(B)/tawny.1 ## build the program, build/tawny (the default)

demo: deps ## install what is missing, build, fetch a small model (94 MiB) and let it answer
	$(AGAIN) all
	@tools/get-model >/dev/null
	$(B)/tawny run -m "$$(tools/get-model --path)" -v --temp 0 -p "Explain in two sentences why the sky is blue."

check: deps ## install what is missing, build and run every test
	$(AGAIN) suite

deps: ## install what is missing to build and test (apt-get; nothing where all is there)
	@tools/deps $(CC)

suite: $(B)/tests/check $(B)/tawny $(B)/tests/kernels
	$(B)/tests/kernels
	$(B)/tests/check

# The suite under a sanitizer, in a build of its own, without the seccomp filter: LeakSanitizer stops all threads with ptrace, from a
# process that it clones at the end, which the filter refuses (tawny has no need of it). (UBSan makes GCC warn that it ignores loop annotations.)
SLOW := CK_TIMEOUT_MULTIPLIER=20 ASAN_OPTIONS=handle_sigbus=0 TSAN_OPTIONS=handle_sigbus=0:suppressions=tests/tsan.supp WITHOUT="$(WITHOUT) libseccomp"
asan: deps ## the suite and the fuzz targets under AddressSanitizer and LeakSanitizer
	$(AGAIN) suite replay B=$(B)/asan HARDEN= CFLAGS="-O1 -g -fno-omit-frame-pointer" SAN=-fsanitize=address $(SLOW)
ubsan: deps ## the suite under UndefinedBehaviorSanitizer
	$(AGAIN) suite B=$(B)/ubsan HARDEN= CFLAGS="-O1 -g -Wno-error" SAN="-fsanitize=undefined -fno-sanitize-recover=all" $(SLOW)
tsan: deps ## the suite under ThreadSanitizer
	$(AGAIN) suite B=$(B)/tsan HARDEN= CFLAGS="-O1 -g" SAN=-fsanitize=thread $(SLOW)

lint: $(B)/libtawny.a $(B)/libtawny.so ## who includes whom, what objects export, what a library must not call
	@tools/lint $(B)

bench: deps ## kernels and the small model against this machine's limits: bench/RESULTS.md, roofline.svg (minutes)
	$(AGAIN) all $(B)/tests/kernels $(call exe,$(BENCH_SRC))
	$(B)/tests/kernels --bench
	$(B)/bench/roofline >$(B)/bench/roofline.json
	@tools/get-model >/dev/null
	$(B)/tawny bench -m "$$(tools/get-model --path)" -oe md -o jsonl >$(B)/bench/model.jsonl
	tools/results roofline $(B)/bench/roofline.json $(B)/bench/model.jsonl

mca: $(B)/libtawny.a ## predict the kernels' inner loops for Zen 4 and 5 (llvm-mca-19)
	@tools/mca $(B)

fuzz: deps ## replay the corpus of every fuzz target, and mutations of it
	$(AGAIN) replay

replay: $(call exe,$(FUZZ_SRC))
	for f in $^; do $$f -m tests/fuzz/corpus/$${f##*/} || exit 1; done

supported: $(B)/tests/check ## write the table of supported architectures anew (models/SUPPORTED.md; needs ../shared/kit)
	TAWNY_TABLE=models/SUPPORTED.md $(B)/tests/check models

gpu-bandwidth: $(B)/tools/gpu-bandwidth ## the GPU's side: build/tools/gpu-bandwidth (needs Vulkan's headers and glslang)

clients: all $(B)/tests/mkmodel ## the official clients of OpenAI, Anthropic and Ollama against the server and the small model (PyPI)
	@tools/get-model >/dev/null
	tools/clients

schemathesis: all $(B)/tests/mkmodel ## thousands of requests made of /openapi.json (PyPI)
	tools/schemathesis

page: ## bundle the server's page anew (npm)
	@rm -f $(B)/page/page.inc
	@$(MAKE) --no-print-directory $(B)/page/page.inc

page-test: all $(B)/tests/mkmodel ## the page in a real Chromium, against the tiny model and one that says what it is told (npm)
	tools/page-test $(B)

soak: all $(B)/tests/mkmodel ## requests of all kinds at once, then ten minutes with clients that leave (MINUTES=10, SOAK="options")
	$(B)/tests/mkmodel tiny $(B)/tests/tiny.gguf
	@mkdir -p $(B)/tests/slots
	tests/soak --tawny $(B)/tawny --minutes $(or $(MINUTES),10) --save $(B)/tests/slots $(SOAK) $(B)/tests/tiny.gguf -- --cache-ram 8

storm: all $(B)/tests/mkmodel ## a thousand bad clients: full queue, disconnects, slowhttptest (minutes)
	$(B)/tests/mkmodel tiny $(B)/tests/tiny.gguf
	tests/storm --tawny $(B)/tawny $(B)/tests/tiny.gguf

vmath-sweep: $(B)/tests/check ## the errors of the vector functions over all floats (an hour)
	TAWNY_SWEEP=1 $(B)/tests/check vmath

install: all $(B)/libtawny.so $(B)/install/libtawny.a $(B)/tawny.pc ## to PREFIX=/usr/local, under DESTDIR=
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin include lib/pkgconfig share/man/man1)
	install $(B)/tawny $(DESTDIR)$(PREFIX)/bin
	install -m 644 src/tawny.h $(DESTDIR)$(PREFIX)/include
	install -m 644 $(B)/install/libtawny.a $(B)/libtawny.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib
	ln -sf libtawny.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libtawny.so.$(SOMAJOR)
	ln -sf libtawny.so.$(SOMAJOR) $(DESTDIR)$(PREFIX)/lib/libtawny.so
	install -m 644 $(B)/tawny.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 $(B)/tawny.1 $(DESTDIR)$(PREFIX)/share/man/man1

clean: ## remove build/
	rm -rf $(B)

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 21

# ---- the rules ----
$(B)/simd/%_avx2.o: ISA := $(avx2)
$(B)/simd/%_avx512.o: ISA := $(avx512)
$(LIB_OBJ): PIC := -fPIC -fvisibility=hidden
$(B)/%.o: PIC ?= -fPIE
$(B)/%.o: %.c $(B)/config.mk
	@mkdir -p $(@D)
	$(SAY)$(CC) $(FLAGS) $(CFLAGS) $(PIC) $(ISA) -c $< -o $@

$(B)/libtawny.a: $(LIB_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

# tawny.h alone makes its functions visible; nothing else leaves the libraries.
$(B)/libtawny.so: $(LIB_OBJ)
	$(Q)$(CC) -shared -Wl,-z,defs,-soname,libtawny.so.$(SOMAJOR) $(LDFLAGS) $^ $(LIBS) -o $@.$(VERSION)
	$(Q)ln -sf $(@F).$(VERSION) $(@D)/$(@F).$(SOMAJOR) && ln -sf $(@F).$(VERSION) $@
$(B)/install/libtawny.a: $(LIB_OBJ)
	@mkdir -p $(@D); rm -f $@
	$(Q)ld -r $^ -o $(@D)/tawny.o && objcopy --localize-hidden $(@D)/tawny.o && ar rcs $@ $(@D)/tawny.o
$(B)/tawny.pc: FORCE
	@printf '%s\n' 'prefix=$(PREFIX)' 'Name: tawny' 'Description: large language models from GGUF files on the CPU' \
	  'Version: $(VERSION)' 'Cflags: -I$${prefix}/include' 'Libs: -L$${prefix}/lib -ltawny' \
	  'Libs.private: $(LIBS)' > $@

LD  = $(Q)$(CC) -pie $(LDFLAGS) $(filter %.o %.a,$^) $(LIBS)
$(B)/tawny: $(call obj,$(CLI_SRC)) $(B)/libtawny.a
	$(LD) $(CLI_LIBS) -o $@
$(B)/tawny.1: $(B)/tawny tools/man
	$(Q)tools/man $(B)/tawny > $@

$(B)/page/is-$(PAGE):
	@mkdir -p $(@D); rm -f $(@D)/is-*; touch $@
$(B)/page/page.inc: $(B)/page/is-$(PAGE) tools/page src/cli/plots.js $(wildcard src/server/page/*)
	@tools/page $(PAGE) $(@D)
$(B)/src/server/page.o $(B)/src/cli/compare_plot.o: FLAGS += -I$(B)/page
$(B)/src/server/page.o $(B)/src/cli/compare_plot.o: $(B)/page/page.inc

$(B)/tools/stream.h: tools/gpu-bandwidth/stream.comp
	@mkdir -p $(@D)
	$(Q)glslangValidator -V --quiet --vn stream_spirv $< -o $@
$(B)/tools/gpu-bandwidth: tools/gpu-bandwidth/gpu-bandwidth.c $(B)/tools/stream.h $(B)/config.mk
	$(Q)$(CC) $(FLAGS) $(CFLAGS) -I$(B)/tools $$(pkg-config --cflags vulkan) $< $(LDFLAGS) $$(pkg-config --libs vulkan) -o $@

# A suite a file: tests/test_NAME.c defines `Suite *suite_NAME(void)`.
SUITES := $(patsubst tests/test_%.c,%,$(filter tests/test_%,$(TEST_SRC)))
$(B)/tests/suites.h: $(TEST_SRC) Makefile
	@mkdir -p $(@D); for s in $(SUITES); do echo "SUITE($$s)"; done > $@
$(B)/tests/main.o: $(B)/tests/suites.h
$(B)/tests/%.o: FLAGS += $(shell pkg-config --cflags check) -I$(B)/tests
$(B)/tests/check: $(call obj,$(TEST_SRC)) $(filter-out %/main.o,$(call obj,$(CLI_SRC))) $(B)/libtawny.a
	$(LD) $(CLI_LIBS) $(shell pkg-config --libs check) -o $@
$(B)/tests/kernels: $(call obj,$(wildcard tests/kernels*.c)) $(B)/libtawny.a
	$(LD) -o $@
$(B)/tests/mkmodel: $(B)/tests/mkmodel.o $(B)/tests/tiny_model.o $(B)/libtawny.a
	$(LD) -o $@
$(call exe,$(FUZZ_SRC)): $(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/replay.o $(B)/libtawny.a
	$(LD) -o $@
$(call exe,$(BENCH_SRC)): $(B)/bench/%: $(B)/bench/%.o $(B)/libtawny.a
	$(LD) -o $@

-include $(shell find $(B) -name '*.d' 2>/dev/null)
