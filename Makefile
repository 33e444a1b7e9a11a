# Two commands: `make run` and `make test`. Everything they need goes into .venv and var/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check lock screenshots clean

run: $(VENV)/.run
	@exec $(BIN)/python manage.py up

test: $(VENV)/.test
	@$(BIN)/python -m tests

check: $(VENV)/.test
	@$(BIN)/python -m tests --checks-only

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Palyra needs Python 3.11 or newer; name it with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) has no working venv module; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages (once)"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages with the test tools (once)"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(VENV)/.run $@

# Needs uv. Writes both locks with hashes and without the name of any index.
UV_LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock:
	$(UV_LOCK) pyproject.toml -o requirements/run.txt
	$(UV_LOCK) pyproject.toml --extra test -o requirements/test.txt -c requirements/run.txt

screenshots: $(VENV)/.test
	@$(BIN)/python -m tests.browser.screenshots docs/screenshots

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
