# The targets build what they need; Python 3.11 or newer and a network for pip are all they ask for.
#   make demo PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What users choose one by one is tested all together.
EXTRAS := all,boosting,survival,map

.PHONY: help dev demo test check bench bench-conversions docs picture constraints

help:
	@echo "make demo    the main job in the sandbox, on real text, a few minutes with installation"
	@echo "make test    all tests"
	@echo "make check   lint, types, import contract, fresh reference pages"
	@echo "make bench   the benchmarks of docs/benchmarks.md (takes long)"
	@echo "make bench-conversions   events from file to bytes, to disk and to the sandbox (takes long)"
	@echo "make docs    write the generated reference pages anew"
	@echo "make picture draw the picture of the README from a real run"
	@echo "make dev     only build $(VENV)"

dev: $(VENV)/ready

$(VENV)/light: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, for instance: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	@touch $@

$(VENV)/ready: $(VENV)/light
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]' --group test --group check
	@touch $@

demo: $(VENV)/light
	@$(BIN)/python scripts/demo_texts.py .demo
	@$(BIN)/penstock demo --folder .demo/feedback $$(test -f .demo/texts.txt && echo --texts .demo/texts.txt)

test: dev
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/docs.py --check
	$(BIN)/python scripts/figures.py --check

docs: dev
	$(BIN)/python scripts/docs.py
	$(BIN)/python scripts/figures.py

picture: demo
	$(BIN)/python scripts/picture.py $$(test -f .demo/texts.txt && echo .demo/texts.txt)

# PEERS=path/to/python names an environment with the peers that benchmarks/quota.py compares with.
bench: dev
	for name in estimate overhead single streaming embeddings segments replay memory; do $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python scripts/demo_texts.py .demo && $(BIN)/python benchmarks/evaluation.py .demo/texts.txt
	$(BIN)/python benchmarks/quota.py $(if $(PEERS),--peers-python $(PEERS))

constraints:
	rm -rf .demo/constraints
	$(PYTHON) -m venv .demo/constraints
	.demo/constraints/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.demo/constraints/bin/python -m pip install --quiet '.[$(EXTRAS)]' --group test --group check
	@sed -n '/^#/p' constraints.txt > .demo/constraints.txt
	.demo/constraints/bin/python -m pip freeze --exclude penstock >> .demo/constraints.txt
	mv .demo/constraints.txt constraints.txt

SIZES ?= 10000 100000 1000000 5000000
bench-conversions: dev
	$(BIN)/python benchmarks/conversions.py $(if $(KIT),--kit $(KIT))
	$(BIN)/python benchmarks/conversions_http.py
	$(BIN)/python benchmarks/conversions_pipeline.py --sizes $(SIZES)
