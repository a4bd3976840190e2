# Two main commands: `make run` opens the screens on this host, `make test` runs the whole test suite.
# Both set themselves up (tools/setup): minutes the first time, a moment afterwards.

PYTHON := .venv/bin/python
LOOKS_AT_THE_HOST := tests/core tests/tui/cli tests/tui/web $(wildcard tests/test_*.py)

# Under sudo, leave no files in the checkout that its owner cannot remove.
ifeq ($(shell id -u),0)
ifneq ($(shell stat -c %u .),0)
export PYTHONDONTWRITEBYTECODE := 1
export PYTEST_ADDOPTS := -p no:cacheprovider
export HYPOTHESIS_STORAGE_DIRECTORY := /root/.cache/hypothesis
endif
endif

.PHONY: help run test test-kernels test-scenarios test-distributions fuzz check architecture screenshots snapshots bench probe clean set-up

help:
	@echo 'make run          set up and open the screens on this host (as root: with the eBPF probe)'
	@echo 'make test         set up and run the whole test suite'
	@echo 'make test-kernels test the kernel tier on Linux 6.1 and 6.12 in emulated machines (about 20 minutes)'
	@echo 'make test-scenarios run every scenario of tests/scenarios 20 times on this kernel (about 15 minutes)'
	@echo 'make fuzz         fuzz every parser of foreign bytes for FUZZ_SECONDS (300) each'
	@echo 'make test-distributions test set-up and every screen in Debian 12, 13 and sid (about 15 minutes)'
	@echo 'make check        run ruff, mypy --strict and import-linter'
	@echo 'make architecture print packages, layers and imports; fail on a cycle'
	@echo 'make screenshots  redraw screenshots/'
	@echo 'make snapshots    accept the current screens as the snapshots that the tests compare with'
	@echo 'make bench        measure the figures in docs/performance.md'
	@echo 'make probe        build the probe that the wheel contains, with buildgen'
	@echo 'make clean        remove everything that these commands created'

run:
	@tools/setup run
	@if [ -t 0 ] && [ -t 1 ]; then .venv/bin/ebpf-tui; else tools/plain-run; fi

set-up:
	@tools/setup test
	@$(PYTHON) -m tests.pythons

# Builds and screens in parallel; then, one at a time, tests that examine the whole host or load the probe.
test: set-up
	@failed=0; \
	$(PYTHON) -m pytest -n logical --dist worksteal $(LOOKS_AT_THE_HOST:%=--ignore %) || failed=1; \
	$(PYTHON) -m pytest $(LOOKS_AT_THE_HOST) || failed=1; \
	exit $$failed

test-kernels: set-up
	$(PYTHON) tools/test_kernels.py

test-scenarios: set-up
	$(PYTHON) tools/scenarios.py

fuzz: set-up
	FUZZ_SECONDS=$${FUZZ_SECONDS:-300} $(PYTHON) -m pytest -o timeout=0 -n logical --dist worksteal tests/fuzz

check: set-up
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

test-distributions: set-up
	$(PYTHON) tools/test_distributions.py

architecture: set-up
	$(PYTHON) tools/architecture.py

screenshots: set-up
	$(PYTHON) tools/screenshots.py

snapshots: set-up
	$(PYTHON) -m pytest tests/tui --snapshot-update

bench: set-up
	for measure in benchmarks/*.py; do echo "== $$measure"; $(PYTHON) "$$measure" || exit 1; done

probe:
	@tools/setup run
	$(PYTHON) tools/build_probe.py

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache snapshot_report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
