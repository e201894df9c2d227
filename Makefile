# make demo    set up .venv, then train, evaluate, export and serve a small Cascade R-CNN on drawn images
# make test    the same set-up plus the test extras, then lint, types, import direction and all tests
# make sanitize    random calls of the C++ kernels, and those for GPUs on the host, under two sanitizers
#
# On a machine with a GPU: make demo TENSORFLOW='tensorflow[and-cuda]'

TENSORFLOW ?= tensorflow-cpu
# The list that pins it: requirements/tensorflow-and-cuda.txt is that of tensorflow[and-cuda].
TENSORFLOW_PINS := requirements/$(subst ],,$(subst [,-,$(TENSORFLOW))).txt

VENV := .venv
BIN := $(VENV)/bin
# The oldest Python that the package supports is 3.11, the newest that has a wheel of TensorFlow 2.21 is 3.13.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
    $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Nothing that is downloaded gets in whose checksum is not in the list.
PINNED := $(INSTALL) --require-hashes
UV ?= uv

# At its end each takes up to nine gigabytes. The tests of a file stay in one process.
TEST_PROCESSES ?= 2

# A stamp carries the checksum of what it was made from. While it matches, no installer runs and no network is
# needed; a changed pin or C++ source has another name and is made again.
checksum = $(shell cat $(1) 2>/dev/null | cksum | tr -d ' ')
CHOICE := $(call checksum,$(TENSORFLOW_PINS))
OPS_SOURCES := $(sort $(shell find custom_ops -type f 2>/dev/null)) setup.py $(wildcard cascade_tf/ops/*build.py)
BASE := $(VENV)/base-$(call checksum,requirements/base.txt)-$(CHOICE).stamp
TEST := $(VENV)/test-$(call checksum,$(wildcard requirements/*.txt))-$(CHOICE).stamp
OPS := $(VENV)/ops-$(call checksum,$(OPS_SOURCES) pyproject.toml)-$(CHOICE)$(CASCADE_TF_CUDA).stamp

.PHONY: demo test sanitize setup setup-test lint types imports unit pins clean help
.DELETE_ON_ERROR:

demo: setup
	@$(BIN)/python scripts/demo.py $(DEMO_FLAGS)

test: lint types imports unit

sanitize: setup-test
	@CASCADE_TF_LONG_TESTS=1 $(BIN)/python -m pytest tests/ops/test_sanitizers.py $(PYTEST_FLAGS)

setup: $(BASE) $(OPS)
setup-test: setup $(TEST)

lint: setup-test
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check . && echo "ruff: clean"

types: lint
	@$(BIN)/mypy

imports: types
	@$(BIN)/lint-imports

unit: imports
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found; name one with PYTHON=..."; exit 1; }
	@echo "Creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot create an environment: install its venv module (Debian, Ubuntu: python3-venv)"; exit 1; }

$(BASE): | $(BIN)/python
	@test -f $(TENSORFLOW_PINS) || { echo "TENSORFLOW=$(TENSORFLOW) has no $(TENSORFLOW_PINS): tensorflow-cpu, tensorflow and tensorflow[and-cuda] have"; exit 1; }
	@echo "Installing the pinned dependencies and $(TENSORFLOW) (once, about 350 MB)"
	@# Two distributions of TensorFlow share a folder: the one that was there before has to go.
	@rm -f $(VENV)/*.stamp; $(BIN)/python -m pip uninstall --quiet --yes tensorflow tensorflow-cpu 2>/dev/null || true
	@$(PINNED) -r requirements/base.txt -r $(TENSORFLOW_PINS)
	@rm -f $(VENV)/base-*.stamp && touch $@

$(OPS): $(BASE)
	@echo "Building the ops and installing cascade_tf in place"
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/ops-*.stamp && touch $@

$(TEST): $(BASE) | $(OPS)
	@echo "Installing the test tools"
	@$(PINNED) -r requirements/test.txt
	@$(PINNED) --no-deps -r requirements/keras_hub.txt -r requirements/serving.txt
	@rm -f $(VENV)/test-*.stamp && touch $@

# After a change of a list of versions, requirements/*.in: the checksums of all files of these versions.
pins:
	@for list in requirements/*.in; do \
	    $(UV) pip compile --quiet --universal --no-deps --generate-hashes --no-annotate --no-header \
	        --python-version 3.11 "$$list" --output-file "$${list%.in}.txt" || exit 1; done

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -f cascade_tf/ops/*.so

help:
	@sed -n 's/^# \{0,1\}//p; /^$$/q' Makefile
