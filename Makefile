# `make demo` and `make test` first make .venv, with pinned versions, if it is missing.
PYTHON ?= python3
TASK ?= twostage
ITERS ?=
SEED ?=
STUDY ?=
CONFIGS ?=
JOBS ?=
DEVICE ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
REQUIREMENTS := requirements.txt

.PHONY: demo study test lint docs bench zoo clean
.DELETE_ON_ERROR:

demo: $(VENV)/.ready
	$(BIN)/python -W ignore -m eql_d2.demo --task $(TASK) $(if $(ITERS),--iters $(ITERS)) $(if $(SEED),--seed $(SEED))

# Go on where they stopped when called again.
study: $(VENV)/.ready
	@set -e; for study in $(or $(STUDY),$(sort $(wildcard configs/Study/*.yaml))); do \
		$(BIN)/python -W ignore -m eql_d2.study "$$study"; done

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.ready
	$(BIN)/python -W ignore -m tests.benchmarks $(if $(DEVICE),--device $(DEVICE))

# Every config, or those in CONFIGS, for two steps on miniatures of its data; JOBS processes.
zoo: $(VENV)/.ready
	$(BIN)/python -W ignore -m tests.zoo $(if $(JOBS),--jobs $(JOBS)) $(CONFIGS)

# The book, as a site in build/docs.
docs: $(VENV)/.ready
	$(BIN)/python -m sphinx --nitpicky --fail-on-warning --keep-going --quiet -b html docs build/docs

# What is made here, and no more: `output` is also Detectron2's for trainings of yours, and `dist` of
# other tools.
GENERATED := glyphs other_glyphs glyph_crops glyph_maps
STUDIES := $(basename $(notdir $(wildcard configs/Study/*.yaml)))
clean:
	rm -rf $(VENV) build/docs output/demo $(STUDIES:%=output/study/%) $(GENERATED:%=datasets/%)
	rm -rf eql_d2.egg-info .pytest_cache .ruff_cache
	find eql_d2 tests docs configs -name __pycache__ -type d -prune -exec rm -rf {} +
	@rmdir output/study output datasets build 2>/dev/null || true

# The last packages cannot come with the rest: see requirements.txt. Their hashes are pinned.
$(VENV)/.ready: $(REQUIREMENTS)
	@echo "making $(VENV) (about 6 GB with PyTorch's CUDA build; a few minutes)"
	$(PYTHON) -c 'import sys; assert (3, 10) <= sys.version_info < (3, 15), sys.version' || \
		{ echo "Python 3.10 to 3.14 is needed: make PYTHON=python3.13 ..."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) -r $(REQUIREMENTS)
	sed -n 's/^#no-deps //p' $(REQUIREMENTS) > $(VENV)/no-deps.txt
	sed -n 's/^#no-deps-any-python //p' $(REQUIREMENTS) > $(VENV)/any-python.txt
	$(PIP) --no-deps --require-hashes -r $(VENV)/no-deps.txt
	$(PIP) --no-deps --require-hashes -r $(VENV)/any-python.txt \
		--only-binary=:all: --implementation cp --python-version 3.10 --abi none --platform any \
		--target "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@
