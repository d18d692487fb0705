# `make study` and `make test` each set up what they need in .venv, from nothing but Python and make.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STUDY ?= regression_mlp

.PHONY: study test test-newest soak bench homework lint format archive clean help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

study: $(VENV)/installed ## Set up, then run the main study (or another: make study STUDY=fashion_cnn)
	$(RUN) run_study.py run $(STUDY)

test: $(VENV)/installed ## Set up, then run the tests
	$(RUN) -m pytest

test-newest: ## Run the tests with the newest releases that setup.cfg allows, in an environment of their own
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	.venv-newest/bin/python -m pytest

soak: $(VENV)/installed ## Set up, then attack hw1 at length: kills, damaged files and databases (15 min)
	HW1_SOAK=1 $(RUN) -m pytest tests/attacks

bench: $(VENV)/installed ## Set up, then measure against what one would write without hw1 (45 min)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(RUN) benchmarks/run.py

lint: $(VENV)/installed ## Check style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/installed ## Put the code in the project's style
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

homework: $(VENV)/installed ## Set up, then do the whole homework; again: goes on (hours)
	$(RUN) docs/homework/homework.py

archive: ## Pack the source, without data, studies and caches, into dist/hw1.zip
	@git rev-parse --git-dir >/dev/null 2>&1 || { \
		echo "make archive needs the git checkout: it packs what git does not ignore" >&2; exit 2; }
	@mkdir -p dist
	@git ls-files -z --cached --others --exclude-standard | $(PYTHON) -c "$$PACK"
	@echo "dist/hw1.zip: $$($(PYTHON) -m zipfile -l dist/hw1.zip | tail -n +2 | wc -l) files"

define PACK
import os, sys, zipfile
names = sorted(name for name in sys.stdin.read().split("\0") if os.path.isfile(name))
with zipfile.ZipFile("dist/hw1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for name in names:
        archive.write(name, "hw1/" + name)
endef
export PACK

clean: ## Remove the environment and the caches, but no study and no data
	rm -rf $(VENV) .venv-newest .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/installed: setup.cfg constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "hw1 needs Python 3.10 or newer: make PYTHON=/path/to/python3 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "could not make $(VENV): on Debian and Ubuntu, apt install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV): several gigabytes with torch, a few minutes the first time."
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@
