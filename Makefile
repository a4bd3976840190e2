# Two main commands: `make run` opens the screens on this host, `make test` runs the whole test suite.
# Both set themselves up (tools/setup): minutes the first time, a moment afterwards.

PYTHON := .venv/bin/python
# One more than there are processors: many tests wait for a terminal, a daemon or an event.
WORKERS := $(shell echo $$(($$(nproc) + 1)))
# Needs no root, no BPF, no containers, no compiler.
FAST := tests/core/explain tests/core/model tests/core/text tests/core/tree \
	tests/core/resolve/test_engine.py tests/core/resolve/test_process_cache.py \
	tests/core/resolve/test_resolver.py tests/core/system/test_arch.py tests/core/system/test_host.py \
	tests/core/containers/test_bolt.py tests/core/containers/test_cgroup_file.py \
	tests/core/containers/test_container_id.py tests/buildgen/headers/test_headers.py \
	tests/buildgen/plan tests/buildgen/project/test_project.py tests/buildgen/test_kernel_release.py \
	tests/tui/test_keys.py tests/tui/widgets tests/tui/test_hostile.py tests/test_threat_model.py

# Under sudo, leave no files in the checkout that its owner cannot remove.
ifeq ($(shell id -u),0)
ifneq ($(shell stat -c %u .),0)
export PYTHONDONTWRITEBYTECODE := 1
export PYTEST_ADDOPTS := -p no:cacheprovider
export HYPOTHESIS_STORAGE_DIRECTORY := /root/.cache/hypothesis
endif
endif

.PHONY: help run test test-fast test-mutants test-kernels test-scenarios test-distributions fuzz check architecture share screenshots snapshots bench probe clean set-up

help:
	@echo 'make run          set up and open the screens on this host (as root: with the eBPF probe)'
	@echo 'make test         set up and run the whole test suite'
	@echo 'make test-fast    run what needs no root, no containers and no compiler'
	@echo 'make test-mutants break the security modules and list what no test notices (hours)'
	@echo 'make test-kernels test the kernel tier on Linux 6.1 and 6.12 in emulated machines (about 20 minutes)'
	@echo 'make test-scenarios run every scenario of tests/scenarios 20 times on this kernel (about 15 minutes)'
	@echo 'make fuzz         fuzz every parser of foreign bytes for FUZZ_SECONDS (300) each'
	@echo 'make test-distributions test set-up and every screen in Debian 12, 13 and sid (about 15 minutes)'
	@echo 'make check        run ruff, mypy --strict and import-linter'
	@echo 'make architecture print packages, layers and imports; fail on a cycle'
	@echo 'make share        write the man page and shell completions to build/share'
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

# Side by side, except what looks at the whole host or loads probes into it: one worker takes all of that
# (HOST in tests/conftest.py). docs/testing.md says what is slow and why.
test: set-up
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup

test-fast:
	@tools/setup test
	$(PYTHON) -m pytest -q -n $(WORKERS) --dist worksteal -m 'not slow' $(FAST)

test-mutants: set-up
	$(PYTHON) -m pip install --quiet --group mutants
	$(PYTHON) tools/mutants.py

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

share: set-up
	$(PYTHON) tools/share.py build/share

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
