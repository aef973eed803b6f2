# One word a habit. Needs Python 3.11 or newer and make; all else is installed into .venv.
#
#   make demo     install what running needs, run the demo, leave its pictures in ./demo
#   make test     install every extra, run the test suite
#   make setup    install or refresh; EXTRAS=training,identity,rtx,live,cluster adds more
#   make check    formatting, lint, types
#   make house    count how the source reads, beside the bars that it must keep
#   make kills    kill one run 50 times at random moments; it must go on to the same packets. KILLS=500 for more
#   make fuzz     a minute of damaged files of every kind; MINUTES=60 for more
#   make check-page   the same of the page's scripts and style, with npm
#   make bench    install the extra bench; all that can be measured here, as bench.html and bench.json: about a quarter of an hour
#   make bench-smoke  a minute: the ratios that must not get worse, beside those that are kept; warns, never fails
#   make gpu-check    eight minutes on an NVIDIA GPU: backends, faces, file to file, live; without one, what it would do
#   make clean    remove .venv and whatever was made here
#
# PYTHON=python3.12 chooses the interpreter, VENV=elsewhere the environment.

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt --editable

# A stamp says that its extras are installed as pyproject.toml and constraints.txt now ask for: the second time is cheap.
RUN_STAMP := $(VENV)/.installed-run
TEST_STAMP := $(VENV)/.installed-test
BENCH_STAMP := $(VENV)/.installed-bench

.PHONY: demo test setup check house kills fuzz check-page bench bench-smoke gpu-check clean

demo: $(RUN_STAMP)
	$(BIN)/barefaced demo

test: $(TEST_STAMP)
	$(BIN)/python -m pytest

setup: $(VENV)/bin/python
	$(INSTALL) ".$(if $(EXTRAS),[$(EXTRAS)])"
	touch $(RUN_STAMP)

check: $(TEST_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Counting needs Python alone: nothing is installed, so that another checkout's environment stays as it is.
house:
	$(PYTHON) -m tests.house

KILLS ?= 50
kills: $(TEST_STAMP)
	BAREFACED_KILLS=$(KILLS) $(BIN)/python -m pytest -q tests/pipeline/run/test_resume.py -k killed

MINUTES ?= 1
fuzz: $(TEST_STAMP)
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

# Browsers run the page as it is: npm only brings what checks it.
check-page:
	npm install --prefix tests/page --no-package-lock --no-audit --no-fund
	npm run check --prefix tests/page

bench: $(BENCH_STAMP)
	$(BIN)/barefaced bench

bench-smoke: $(BENCH_STAMP)
	$(BIN)/barefaced bench smoke

# What a backend computes on the GPU is held by the tests; the bench compares it again before it counts a time.
gpu-check: $(TEST_STAMP)
	$(BIN)/python -m pytest -q tests/engine/test_backends.py -k cuda
	$(BIN)/barefaced bench gpu --json gpu.json --markdown -

clean:
	rm -rf $(VENV) demo bench.html bench.json gpu.json build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf tests/page/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "barefaced needs Python 3.11 or newer, this is %d.%d; name another: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) .
	touch $@

$(BENCH_STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) ".[bench]"
	touch $@ $(RUN_STAMP)

$(TEST_STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) ".[test,training,rtx,live,bench,cluster]"
	touch $@ $(RUN_STAMP) $(BENCH_STAMP)
