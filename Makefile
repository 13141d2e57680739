# `make study` and `make test` are the two commands of the README; everything else is for development.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= runs/demo
DATA ?= ../shared/data

.PHONY: study study-real study-arms test test-slow check format schema lock build example clean

# torch first and alone, so that a build of it that is already chosen for this machine stays. The versions are
# those of requirements/ci.txt, which the tests run with; `+cpu` and the like are builds of one version.
$(VENV)/.installed: pyproject.toml requirements/ci.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c requirements/ci.txt torch==2.13.0
	$(BIN)/pip install --quiet -c requirements/ci.txt -e '.[run,demo,dev]'
	touch $@

study: $(VENV)/.installed
	$(BIN)/scaling run demo --store $(STORE)
	$(BIN)/scaling report demo --store $(STORE)

# Real benchmark files, in the folder DATA (see docs/catalogue.md).
study-real: $(VENV)/.installed
	$(BIN)/scaling run real --store runs/real --from $(DATA)
	$(BIN)/scaling report real --store runs/real

# Every arm of phase ii in small, on the demo's encoders and the files in DATA (see docs/arms.md).
study-arms: $(VENV)/.installed
	$(BIN)/scaling run arms --store runs/arms --from $(DATA)
	$(BIN)/scaling report arms --store runs/arms

test: $(VENV)/.installed
	$(BIN)/pytest -m 'not slow' -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed
	$(BIN)/pytest -m slow

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/.installed
	$(BIN)/scaling schema scaling/catalogue/studies/schema.json

# All packages that the tests run with; and of the same versions the image's, with the hashes that the index says:
# torch and CUDA's, what has no wheel, the rest.
LOCKED := --no-header --no-annotate --python-version 3.11 --python-platform x86_64-unknown-linux-gnu
lock: $(VENV)/.installed
	$(BIN)/pip install --quiet uv==0.13.9
	mkdir -p build
	$(BIN)/uv pip compile pyproject.toml --extra run --extra demo --extra dev $(LOCKED) --output-file build/ci.txt
	$(BIN)/uv pip compile pyproject.toml requirements/build.in --extra run --generate-hashes \
	  --constraint build/ci.txt $(LOCKED) --output-file build/lock.txt
	cp build/ci.txt requirements/ci.txt
	awk '/^[a-z]/ {file = /^(torch|triton|cuda-|nvidia-)/ ? "cuda" : /^deepspeed=/ ? "source" : "base"} \
	  {print > ("requirements/" file ".txt")}' build/lock.txt

build: $(VENV)/.installed
	$(BIN)/python -m build --wheel --outdir dist .

# The picture of README, from the rows that are shipped; with FROM=STORE of a finished demo, those rows first.
example: $(VENV)/.installed
	PYTHONPATH=. $(BIN)/python -m benchmarks.example $(if $(FROM),--store $(FROM))

bench-%: $(VENV)/.installed
	PYTHONPATH=. $(BIN)/python -m benchmarks.$* $(ARGS)

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
