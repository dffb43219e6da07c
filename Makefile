# Two commands matter: `make demo` and `make test`. Everything lands in .venv and var/.
SHELL := bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export FACET_HOME ?= var
# Whole files go to a worker, so that what a file shares is built once.
TEST_WORKERS ?= 2
TESTS ?= not gpu
PYTEST := $(BIN)/python -m pytest -q -n $(TEST_WORKERS) --dist loadfile
# Where pip finds local wheels, uv looks too; unset means the public index.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: install demo up test check lint-imports format lock bench milvus clean

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	@start=$$(date +%s); \
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable . && \
	echo $$(( $$(date +%s) - start )) > $@

demo: install  ## simulate, run the four DAGs through Airflow, serve, ask
	FACET_INSTALL_SECONDS=$$(cat $(VENV)/installed) FACET_HOME=var/demo $(BIN)/python -m serving.demo

up: install  ## Airflow, Milvus Lite, MLflow, Feast UI and the API until Ctrl-C
	$(BIN)/facet up

check: install  ## format, lint, types, import contracts, layout, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory lint-imports
	$(PYTEST) -m "not slow and not server and not gpu"

# import-linter wants packages; a link lets it see facet.py as one, from a folder where it finds that first.
lint-imports: install
	@mkdir -p build/imports/facet && ln -sf ../../../facet.py build/imports/facet/__init__.py
	@cd build/imports && PYTHONPATH=../.. ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-logo

test: install  ## all tests but those that need a GPU
	bash docker/install-packages.sh
	$(MAKE) --no-print-directory milvus
	$(PYTEST) -m "$(TESTS)"

milvus:  ## a real Milvus of one process in build/milvus, for tests and benchmarks
	PYTHON=$(PYTHON) bash docker/install-milvus.sh

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

LOCK = --python-version 3.11 --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links

# What CUDA needs follows from the torch that is found: its wheel pins it, and the one for CPUs wants none of it.
lock: install  ## resolve the versions again (torch without the local tag, so that any index serves it)
	$(BIN)/uv pip compile pyproject.toml --all-extras $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra serving -c requirements.lock $(LOCK) -o docker/serving.lock
	$(BIN)/uv pip compile pyproject.toml docker/airflow.in --extra airflow --extra training --extra serving \
	  -c requirements.lock $(LOCK) -o docker/airflow.lock
	sed -i -e 's/^\(torch==[0-9.]*\)+cpu/\1/' -e '/^cuda-/d; /^nvidia-/d; /^triton==/d' requirements.lock docker/airflow.lock

bench: install  ## make bench NAME=ingest ARGS=...
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

clean:
	rm -rf var build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
