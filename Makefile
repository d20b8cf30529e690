# make demo: a fresh checkout converts and checks every sample.
# make test: the whole test suite; root gets what it compiles with from apt. OPTIONS are pytest's.
# make thorough: the tests that make test leaves out, further cases of what it shows.
# make plugins SM=87: the whole plugin library for a GPU architecture, or several, and which of its kernels spill.
# make kernels: every case of the kernels, emulated on the CPU; make test takes a choice.
# make docs: the site, from docs/, into build/docs; a link that leads nowhere is an error.
# make fuzz N=20000 SEED=0: damaged files of every kind through every reader; the table goes into docs/fuzzing.md.
PYTHON ?= python3
SM ?= 87
N ?= 20000
SEED ?= 0
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SETUP := pyproject.toml setup.py constraints.txt

.PHONY: demo test thorough kernels fuzz plugins lint types docs wheel bench clean

$(VENV)/package.stamp: $(SETUP)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/dev.stamp: $(VENV)/package.stamp
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,rtx,cuda,modelopt]'
	$(BIN)/pip install --quiet -c constraints.txt --no-deps kernel-lens nvidia-cuda-cuobjdump
	touch $@

demo: $(VENV)/package.stamp
	$(BIN)/python samples/demo.py demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m tests.tools
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder --slowest 10 $(OPTIONS)

thorough: $(VENV)/dev.stamp
	$(BIN)/python -m tests.tools
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder -m thorough $(OPTIONS)

kernels: $(VENV)/dev.stamp
	$(BIN)/python -m tests.tools
	ATTNEXPORT_EVERY_CASE=1 $(BIN)/python -m pytest --numprocesses 2 tests/plugins/kernels/test_kernels.py

# The wheel of kernel-lens carries TensorRT's headers.
plugins: $(VENV)/dev.stamp
	mkdir -p build
	NVCC_APPEND_FLAGS=-Xptxas=-v $(BIN)/attnexport plugins build $(addprefix --arch ,$(SM)) -o build/plugins \
		--tensorrt-include $$(echo $(VENV)/lib/python*/site-packages/kernel_lens/include/tensorrt)
	$(BIN)/python plugins/tests/spills.py build/plugins/build.log

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	find plugins samples -regex '.*\.\(c\|cpp\|cu\|cuh\|h\)' -exec $(BIN)/clang-format --dry-run --Werror {} +

types: $(VENV)/dev.stamp
	$(BIN)/mypy -p attnexport -p tests -p samples -p benchmarks

docs: $(VENV)/dev.stamp
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/docs
	@echo "the site is build/docs/index.html"

wheel: $(VENV)/dev.stamp
	.ci/wheel

fuzz: $(VENV)/dev.stamp
	$(BIN)/python -m tests.fuzz --mutants $(N) --seed $(SEED) --table docs/fuzzing.md

bench: $(VENV)/dev.stamp
	$(BIN)/python -m pytest benchmarks --benchmark-columns=min,median,max,rounds

clean:
	rm -rf $(VENV) build dist demo *.egg-info
