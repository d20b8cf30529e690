# make demo: a fresh checkout converts and checks every sample.   make test: the whole test suite.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SETUP := pyproject.toml setup.py constraints.txt

.PHONY: demo test lint types wheel bench clean

$(VENV)/package.stamp: $(SETUP)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/dev.stamp: $(VENV)/package.stamp
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,rtx]'
	touch $@

demo: $(VENV)/package.stamp
	$(BIN)/python samples/demo.py demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The import name differs from the folder; mypy finds it through a link.
types: $(VENV)/dev.stamp
	mkdir -p build/typing
	ln -sfn ../../exporter build/typing/attnexport
	MYPYPATH=build/typing $(BIN)/mypy -p attnexport

wheel: $(VENV)/dev.stamp
	.ci/wheel

bench: $(VENV)/dev.stamp
	$(BIN)/python -m pytest benchmarks --benchmark-columns=min,median,max,rounds

clean:
	rm -rf $(VENV) build dist demo *.egg-info
