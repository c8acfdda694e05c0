# The words a contributor types are the words CI runs.
PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help

# Tests wait for the disk half of their time: their folders lie in memory where there is enough of it.
IN_MEMORY := $(shell df --output=avail /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 8e6 {print "TMPDIR=/dev/shm"}')

# A suite that passed on a clean work tree leaves the tree's hash, which a release asks for.
PASSED = test -n "$$(git status --porcelain 2>/dev/null || echo none)" || git rev-parse 'HEAD^{tree}' > $(STAMPS)/passed-$@

.PHONY: help setup demo conformance test test-all test-long test-torch test-pythons bench docs docs-site licences release lint lock clean

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

$(STAMPS)/docs: requirements/docs.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/docs
	$(BIN)/uv pip install --quiet --python .venv/docs/bin/python --compile-bytecode --require-hashes -r requirements/docs.txt
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

$(STAMPS)/monitoring-peers: requirements/monitoring-peers.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/monitoring-peers
	$(BIN)/uv pip install --quiet --python .venv/monitoring-peers/bin/python --require-hashes -r requirements/monitoring-peers.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/serving-peers: requirements/serving-peers.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear .venv/serving-peers
	$(BIN)/uv pip install --quiet --python .venv/serving-peers/bin/python --compile-bytecode --require-hashes -r requirements/serving-peers.txt
	@mkdir -p $(STAMPS) && touch $@

# Each Python has an environment of its own, and so have the oldest libraries that pyproject.toml allows (with Python 3.11) and
# the newest that there are today (with Python 3.13).
PYTHONS := 3.12 3.13
TRIED := tests/ground tests/schema tests/ledger tests/runs tests/tables tests/features tests/models tests/serving tests/cli
EXTRAS := demo,sklearn,arrow,duckdb,redis,delta,objects,optuna,onnx,otel,sql,envs,oidc,notify,pdf
test-pythons: $(STAMPS)/test  ## the part of `make test` that libraries and Pythons matter to, with Python 3.12 and 3.13, the oldest libraries and the newest
	for name in $(PYTHONS) oldest newest; do \
	  case $$name in oldest) python=3.11;; newest) python=3.13;; *) python=$$name;; esac; \
	  $(BIN)/uv venv --quiet --clear --python $$python .venv/with-$$name || exit 1; \
	  install="$(BIN)/uv pip install --quiet --python .venv/with-$$name/bin/python"; \
	  if test $$name = newest; then $$install --editable ".[$(EXTRAS)]" -r requirements/test.in -r requirements/demo.in || exit 1; else \
	    $$install --no-deps --require-hashes -r requirements/test.txt || exit 1; \
	    test $$name != oldest || $$install --no-deps --require-hashes -r requirements/oldest.txt || exit 1; \
	    $$install --no-deps --no-build-isolation --editable . || exit 1; fi; \
	  $(IN_MEMORY) .venv/with-$$name/bin/python -m pytest -q -m "not full and not long" -n 2 -p no:cacheprovider $(TRIED) || exit 1; done

demo: $(STAMPS)/demo  ## install, then run the flagship: a year of a model that keeps itself good
	$(BIN)/slipway demo

lint: $(STAMPS)/test  ## format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## what must be green before every commit; no server needed
	$(IN_MEMORY) $(BIN)/pytest -q -m "not full and not long" -n 3 --dist loadfile --no-loadscope-reorder
	@$(PASSED)

test-all: $(STAMPS)/all $(STAMPS)/s3 $(STAMPS)/signing $(STAMPS)/kserve $(STAMPS)/spark $(STAMPS)/docs $(STAMPS)/mlflow2 $(STAMPS)/mlflow3  ## what `make test` leaves out: real servers, a browser, the dearest proofs, the demo's first weeks
	$(IN_MEMORY) $(BIN)/pytest -q -m "full and not long" -n 2 --dist loadfile --no-loadscope-reorder
	@$(PASSED)

test-long: $(STAMPS)/all $(STAMPS)/s3 $(STAMPS)/spark $(STAMPS)/mlflow3  ## minutes of repetition of what a shorter test shows: the demo's whole year, simulations by the thousand, a kill at every moment; before a release
	$(IN_MEMORY) $(BIN)/pytest -q -m long -n 2 --dist loadfile --no-loadscope-reorder
	@$(PASSED)

test-torch: $(STAMPS)/torch  ## what `make test-all` leaves out unless PyTorch (gigabytes) is installed
	$(BIN)/pytest -q -m full tests/models/test_torch.py tests/docs/test_larger_page.py

bench: $(STAMPS)/all $(STAMPS)/s3 $(STAMPS)/mlflow3 $(STAMPS)/peers $(STAMPS)/serving-peers  ## time the hot paths beside the raw operation; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

conformance: $(STAMPS)/all $(STAMPS)/s3  ## go through the journey on one machine's folder and on PostgreSQL, S3, Redis and Ray; writes docs/conformance.md
	cd tests && ../$(BIN)/python -m conformance_journey --write

docs: $(STAMPS)/test  ## write the generated reference pages
	COLUMNS=80 $(BIN)/python docs/generate.py

docs-site: docs $(STAMPS)/docs  ## make the site of docs/ in site/, to be read without a network: open site/index.html
	.venv/docs/bin/sphinx-build --fail-on-warning --keep-going --quiet --jobs auto --doctree-dir .venv/docs/doctrees docs site

licences: $(STAMPS)/all  ## write docs/licences.md; fails on a licence that is unknown or not permitted
	$(BIN)/python -m release.licences

release: $(STAMPS)/all  ## VERSION=0.2.0: write version, change log and pages; with CHECK=1 only say what holds; never pushes
	@test -n "$(VERSION)" || { echo "Name the version: make release VERSION=0.2.0, then the same with CHECK=1"; exit 2; }
	@$(BIN)/python -m release $(VERSION) $(if $(CHECK),--check)

lock: $(BIN)/uv  ## compile requirements/*.txt anew
	cd requirements && for name in demo test all mlflow2 mlflow3; do more=""; \
	  case $$name in demo) more="--extra demo ../pyproject.toml --no-emit-package pandas --no-emit-package python-dateutil --no-emit-package six";; test) more="-c demo.txt --extra demo --extra sklearn --extra arrow --extra duckdb --extra redis --extra delta --extra objects --extra optuna --extra onnx --extra otel --extra sql --extra envs --extra oidc --extra notify --extra pdf ../pyproject.toml demo.in";; \
	  all) more="-c test.txt --extra demo --extra sklearn --extra arrow --extra duckdb --extra redis --extra delta --extra objects --extra optuna --extra onnx --extra otel --extra sql --extra envs --extra oidc --extra notify --extra pdf --extra postgres --extra ray --extra xgboost ../pyproject.toml demo.in test.in";; \
	  mlflow*) more="--override $$name.overrides";; esac; \
	  ../$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate $$more $$name.in -o $$name.txt || exit 1; done
	cd requirements && ../$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --resolution lowest-direct \
	  --extra demo --extra sklearn --extra arrow --extra duckdb --extra redis --extra delta --extra objects --extra optuna --extra onnx --extra otel --extra sql --extra envs --extra oidc --extra notify --extra pdf --extra postgres --extra xgboost ../pyproject.toml demo.in -o oldest.txt
	cd requirements && for name in s3 signing kserve spark docs peers serving-peers monitoring-peers; do ../$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate $$name.in -o $$name.txt || exit 1; done

clean:  ## remove what was built and the demo's store
	rm -rf .venv .slipway dist build site .mypy_cache .ruff_cache .pytest_cache
