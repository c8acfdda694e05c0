# The words a contributor types are the words CI runs.
PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help

.PHONY: help setup demo test test-all test-torch bench docs lint lock clean

help:  ## what there is to type
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | column -t -s '|'

$(BIN)/uv:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: install it, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Name another: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMPS)/%: requirements/%.txt pyproject.toml $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/$*.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@mkdir -p $(STAMPS) && touch $@

# The clients of MLflow need libraries of their own versions: each has an environment of its own.
$(STAMPS)/mlflow%: requirements/mlflow%.txt $(BIN)/uv
	$(BIN)/python -m venv --clear --without-pip .venv/mlflow$*
	$(BIN)/uv pip install --quiet --python .venv/mlflow$*/bin/python --no-deps --require-hashes -r requirements/mlflow$*.txt
	@mkdir -p $(STAMPS) && touch $@

setup: $(STAMPS)/test  ## make .venv with everything that `make test` needs

$(STAMPS)/s3: requirements/s3.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/s3
	$(BIN)/uv pip install --quiet --python .venv/s3/bin/python --require-hashes -r requirements/s3.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/signing: requirements/signing.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/signing
	$(BIN)/uv pip install --quiet --python .venv/signing/bin/python --require-hashes -r requirements/signing.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/kserve: requirements/kserve.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/kserve
	$(BIN)/uv pip install --quiet --python .venv/kserve/bin/python --require-hashes -r requirements/kserve.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/spark: requirements/spark.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/spark
	$(BIN)/uv pip install --quiet --python .venv/spark/bin/python --require-hashes -r requirements/spark.txt
	@mkdir -p $(STAMPS) && touch $@

# For whoever works on PyTorch models; nothing else installs it. By pip, which takes a smaller build for CPUs where pip is
# set up to find one; the default one on Linux has a GPU's libraries, some gigabytes.
$(STAMPS)/torch: requirements/torch.txt $(STAMPS)/all
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	@touch $@

$(STAMPS)/peers: requirements/peers.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/peers
	$(BIN)/uv pip install --quiet --python .venv/peers/bin/python --require-hashes -r requirements/peers.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/serving-peers: requirements/serving-peers.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/serving-peers
	$(BIN)/uv pip install --quiet --python .venv/serving-peers/bin/python --compile-bytecode --require-hashes -r requirements/serving-peers.txt
	@mkdir -p $(STAMPS) && touch $@

demo: $(STAMPS)/demo  ## install, then run the flagship: a year of a model that keeps itself good
	$(BIN)/slipway demo

lint: $(STAMPS)/test  ## format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## what must be green before every commit; no server needed
	$(BIN)/pytest -q -m "not full" -n 3

test-all: $(STAMPS)/all $(STAMPS)/s3 $(STAMPS)/signing $(STAMPS)/kserve $(STAMPS)/spark $(STAMPS)/mlflow2 $(STAMPS)/mlflow3  ## what `make test` leaves out: real servers, a browser, the dearest proofs, the demo's whole year
	$(BIN)/pytest -q -m full -n 2 --dist loadfile

test-torch: $(STAMPS)/torch  ## what `make test-all` leaves out unless PyTorch (gigabytes) is installed
	$(BIN)/pytest -q -m full tests/models/test_torch.py tests/docs/test_larger_page.py

bench: $(STAMPS)/all $(STAMPS)/s3 $(STAMPS)/mlflow3 $(STAMPS)/peers $(STAMPS)/serving-peers  ## time the hot paths beside the raw operation; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

docs: $(STAMPS)/test  ## write the generated reference pages
	COLUMNS=80 $(BIN)/python docs/generate.py

lock: $(BIN)/uv  ## compile requirements/*.txt anew
	cd requirements && for name in demo test all mlflow2 mlflow3; do more=""; \
	  case $$name in demo) more="--extra demo ../pyproject.toml --no-emit-package pandas --no-emit-package python-dateutil --no-emit-package six";; test) more="-c demo.txt --extra demo --extra sklearn --extra arrow --extra duckdb --extra redis --extra delta --extra objects --extra optuna --extra onnx --extra otel --extra sql --extra envs --extra oidc ../pyproject.toml demo.in";; \
	  all) more="-c test.txt --extra demo --extra sklearn --extra arrow --extra duckdb --extra redis --extra delta --extra objects --extra optuna --extra onnx --extra otel --extra sql --extra envs --extra oidc --extra postgres --extra ray --extra xgboost ../pyproject.toml demo.in test.in";; \
	  mlflow*) more="--override $$name.overrides";; esac; \
	  ../$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate $$more $$name.in -o $$name.txt || exit 1; done
	cd requirements && for name in s3 signing kserve spark peers serving-peers; do ../$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate $$name.in -o $$name.txt || exit 1; done

clean:  ## remove what was built and the demo's store
	rm -rf .venv .slipway dist build .mypy_cache .ruff_cache .pytest_cache
