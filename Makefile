# Everything runs in .venv, which is made when it is missing. `make` alone lists what there is.

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help train test test-slow test-dask test-lowest test-extras mutants exercises wheels book book-serve book-check gallery tables notebooks torch bench bench-quick roofline lint types layers budget clean

help: ## list these commands
	@echo 'Flags are handed on by ARGS: make train ARGS="--epochs 5", make test ARGS="-k matmul".'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

train: $(VENV)/.run ## train a VAE on handwritten digits and leave pictures in runs/
	@$(PY) -m minivae train $(ARGS)

# Two processes, each file in one of them: a fixture that files share is made once. They take the files
# in the order of tests/conftest.py, not those of many tests first. -n 0 for a debugger.
test: $(VENV)/.test ## run the tests but for the slow ones (five to six minutes on two cores)
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow' $(ARGS)

test-slow: $(VENV)/.test ## run the tests that start, kill and compile processes, one after the other
	@$(PY) -m pytest -m slow $(ARGS)

test-dask: $(VENV)/.dask ## test mixtures on a Dask cluster, and arrays in HDF5 and Zarr files
	@$(PY) -m pytest tests/large/*.py $(ARGS)

test-lowest: build/lowest/.made ## run the tests with the oldest versions that pyproject.toml allows
	@build/lowest/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow' $(ARGS)

test-extras: $(VENV)/.extras ## run scikit-learn's own checks, and the tests with pandas, polars and Arrow
	@$(PY) -m pytest tests/extras $(ARGS)

mutants: $(VENV)/.test ## plant single mistakes, one at a time, and count those that no test notices
	@$(PY) tests/mutants.py $(ARGS)

exercises: $(VENV)/.test ## try every wrong answer that the exercises know
	@$(PY) tests/exercises/bank.py

wheels: $(VENV)/.made ## fill build/wheels, from which minivae installs without a network
	@$(PY) -m pip wheel --quiet --disable-pip-version-check --wheel-dir build/wheels '.[test]'
	@echo "Without a network: pip install --no-index --find-links build/wheels 'minivae[test]'"

book: $(VENV)/.book ## build the book with its code beside it, in build/book
	@$(PY) -m sphinx --nitpicky --fail-on-warning --quiet --fresh-env --doctree-dir build/doctrees derivations build/book
	@echo 'The book is in build/book; open index.html there, or run make book-serve.'

book-serve: book ## build the book and open it in a browser
	@echo 'The book is at http://127.0.0.1:8000 until Ctrl-C.'
	@(sleep 1; $(PY) -m webbrowser http://127.0.0.1:8000 >/dev/null 2>&1) & \
	    $(PY) -m http.server --directory build/book --bind 127.0.0.1 8000

book-check: $(VENV)/.book-check book ## look at every page of the book in headless Chromium
	@$(PY) .ci/book.py

gallery: $(VENV)/.run ## draw the picture of every example, in build/gallery
	@$(PY) derivations/_ext/gallery.py $(ARGS)

tables: $(VENV)/.run ## print every comparison over seeds, and keep them in build/tables (ten minutes)
	@mkdir -p build/tables
	@for script in examples/tables/*.py; do \
	    name=$$(basename "$$script" .py); echo "$$name"; \
	    $(PY) "$$script" $(ARGS) > "build/tables/$$name.txt" || exit 1; \
	    cat "build/tables/$$name.txt"; \
	done

notebooks: $(VENV)/.notebooks ## make a notebook of every example, in build/notebooks, and run the quick ones
	@$(PY) derivations/_ext/notebooks.py $(ARGS)

torch: $(VENV)/.bench $(VENV)/.test ## hold exported models against PyTorch
	@$(PY) -m pytest tests/other_engines/pytorch.py $(ARGS)

bench: $(VENV)/.bench $(VENV)/.dask ## time minivae against PyTorch and JAX, and on large data (half an hour)
	@$(PY) tests/benchmarks/run.py $(ARGS)
	@$(PY) tests/benchmarks/large.py

bench-quick: $(VENV)/.bench ## the same with fewer rows and rounds (three minutes)
	@$(PY) tests/benchmarks/run.py --quick $(ARGS)

roofline: $(VENV)/.run ## what this machine can do, and what the kernels make of it
	@$(PY) tests/benchmarks/roofline.py $(ARGS)

lint: $(VENV)/.dev ## style and common mistakes (ruff)
	@$(PY) -m ruff check $(ARGS) .

types: $(VENV)/.dev ## type hints (mypy, strict)
	@$(PY) -m mypy $(ARGS)

layers: $(VENV)/.dev ## who may import whom (import-linter), and that the check bites
	@$(PY) .ci/layers.py

budget: $(VENV)/.made ## lines of code, a row a module, against their limits
	@$(PY) tests/budget.py

clean: ## remove caches and build products; .venv and runs/ stay
	rm -rf build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -path './$(VENV)' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each set of dependencies, older than pyproject.toml when it has to be installed again.
# A set includes the ones before it and stamps them too; nothing is stamped before it is whole.

$(VENV)/.run: pyproject.toml | $(VENV)/.made
	$(call install,.,minivae,$@)

$(VENV)/.test: pyproject.toml | $(VENV)/.made
	$(call install,.[test],minivae and what its tests need,$(VENV)/.run $@)

$(VENV)/.extras: pyproject.toml | $(VENV)/.made
	$(call install,.[extras],minivae and the libraries that its users bring,$(VENV)/.run $(VENV)/.test $@)

$(VENV)/.book: pyproject.toml | $(VENV)/.made
	$(call install,.[book],minivae and what builds its book,$(VENV)/.run $@)

$(VENV)/.book-check: pyproject.toml | $(VENV)/.made
	$(call install,.[book-check],minivae and what looks at its book,$(VENV)/.run $(VENV)/.book $@)

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	$(call install,.[dev],minivae and the tools of its developers,$(VENV)/.run $(VENV)/.test $@)

$(VENV)/.dask: pyproject.toml | $(VENV)/.made
	$(call install,.[test-dask],minivae with Dask and readers of HDF5 and Zarr,$(VENV)/.run $(VENV)/.test $@)

$(VENV)/.notebooks: pyproject.toml | $(VENV)/.made
	$(call install,.[notebooks],minivae and what runs notebooks,$(VENV)/.run $@)

$(VENV)/.bench: pyproject.toml | $(VENV)/.made
	$(call install,.[bench],minivae and the frameworks it is compared with,$(VENV)/.run $@)

# The lowest versions, in an environment of their own: what pyproject.toml requires, with == for >=.
build/lowest/.made: pyproject.toml | $(VENV)/.made
	@echo 'Installing the oldest versions of what minivae needs into build/lowest ...'
	@$(PY) -m venv --clear build/lowest
	@sed -n 's/^    "\([a-z]*\)>=\([0-9.]*\)",$$/\1==\2/p' pyproject.toml > build/lowest/versions.txt
	@build/lowest/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint build/lowest/versions.txt --editable '.[test]'
	@touch $@

define install
	@echo 'Installing $(2) into $(VENV) (this once; half a minute with a good connection) ...'
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '$(1)' || { \
	    echo 'The installation did not finish. It needs a network the first time; run make again to go on.' >&2; \
	    exit 1; }
	@touch $(3)
endef

$(VENV)/.made:
	@for python in '$(PYTHON)' python3.13 python3.12 python3.11; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	    python=; \
	done; \
	if [ -z "$$python" ]; then \
	    found=$$('$(PYTHON)' --version 2>/dev/null) || found='not there'; \
	    echo "minivae needs Python 3.11 or later, and $(PYTHON) is $$found. Name another: make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	fi; \
	if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	    if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
	        echo "$$python cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$("$$python" --version) ..."; \
	    "$$python" -m venv --clear $(VENV) || exit 1; \
	fi; \
	touch $@
