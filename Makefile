# Two commands do everything: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export MPLBACKEND := Agg
export PYTHONHASHSEED := 0

.PHONY: demo test lint system bench clean

$(READY): requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "Python 3.11 to 3.13 is needed; run make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The main job on real data: train, evaluate, score and explain 30,000 customers.
demo: $(READY)
	$(BIN)/overdue-ml demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What the tests of the page and of Spark need beside Python. Only in a container, as root; elsewhere it is yours
# to install, and tests without it are skipped by name.
system:
	@if ! { command -v chromium && command -v java && fc-list :lang=zh | grep -q .; } > /dev/null 2>&1 \
		&& [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
			chromium fonts-wqy-zenhei default-jre-headless > /dev/null; } \
			|| echo "no Chromium or no Java could be installed: their tests are skipped"; \
	fi

# Every check: style, types, import rules, tests, doctests, notebooks.
test: lint system
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

# Our pipeline and its peers, side by side, in an environment of their own.
$(VENV)-bench/.ready: benchmarks/requirements.lock
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.lock
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

bench: $(VENV)-bench/.ready
	$(VENV)-bench/bin/python benchmarks/accuracy_taiwan.py $(BENCH_ARGS)

clean:
	rm -rf $(VENV) $(VENV)-bench out build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache
