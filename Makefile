# `make run` and `make test`, and what CONTRIBUTING.md says. Each sets up what it needs; nothing but Python 3.11 or newer is expected.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

run: $(VENV)/run
	$(PY) -m experiments.vae quick

test: $(VENV)/run
	$(PY) -m pytest -n auto

long: $(VENV)/run
	$(PY) -m pytest -n auto -m long

check: $(VENV)/dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

gpu-bundle: $(VENV)/run
	$(PY) -m gen_jax.study.bundle .gpu

audit: $(VENV)/audit
	$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.txt || { echo "Not audited, or not safe: see above." >&2; exit 1; }

$(VENV)/run: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is %d.%d: say make PYTHON=python3.12" % sys.version_info[:2])'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --progress-bar off --require-hashes -r requirements.txt
	touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --progress-bar off --require-hashes -r requirements-dev.txt
	touch $@

$(VENV)/audit: $(VENV)/run
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check --progress-bar off pip-audit==2.10.0

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache

.PHONY: run test long check gpu-bundle audit clean
