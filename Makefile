# The two commands of the README (`make demo`, `make test`) and the parts they are made of.
# Everything runs in .venv, which the first command creates; PYTHON=... picks the interpreter, JOBS=... the processes.

JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
FILES ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types unit bench wheel clean

help:
	@echo "make demo    fit eight schools, write its figures and say where they are"
	@echo "make test    what CI runs: lint, types, unit"
	@echo "make lint    ruff: rules and formatting          make format  let ruff mend what it can"
	@echo "make types   mypy                                make unit    pytest; FILES='tests/ops' for a part"
	@echo "make bench   one SVI step; PYRO=python of pyro-ppl   make clean   remove .venv and caches"

demo: $(INSTALLED)
	$(BIN)/python examples/eight_schools.py

test: lint types unit

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(INSTALLED)
	$(BIN)/mypy
	$(BIN)/mypy examples  # the public interface, as a program sees it

unit: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(FILES)

bench: $(INSTALLED)
	$(BIN)/python benchmarks/svi.py $(if $(PYRO),--pyro $(PYRO))

wheel: $(INSTALLED)
	$(BIN)/python -m pip wheel --no-build-isolation --no-deps --wheel-dir dist .

# The build backend comes first, pinned like the rest; pip's own build environment would not know the constraints.
$(INSTALLED): pyproject.toml constraints-dev.txt scripts/find-python
	@python=$$(scripts/find-python "$(PYTHON)") && \
	if ! $(BIN)/python -c pass 2>/dev/null; then echo "creating $(VENV) with $$python"; "$$python" -m venv --clear $(VENV); fi
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints-dev.txt hatchling editables
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints-dev.txt --no-build-isolation --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
