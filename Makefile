# The commands of the book. Each is one line of Python, so that they can be typed where there is no make: see
# `make help`. PYTHON is used once, to make .venv; everything else runs with what is installed there.
PYTHON ?= python3
RUN = .venv/bin/python
NB ?=
ONLY ?=
STEPS ?=
CASES ?=

.DEFAULT_GOAL := help
.PHONY: help venv book test run variations bench mutate serve new repository format clean

help:  ## what can be made
	@echo "make venv                     make .venv and install what requirements.txt pins (the others do it too)"
	@echo "make book                     build the book into _build/html"
	@echo "make serve                    read the built book at http://localhost:8000"
	@echo "make test                     the whole contract; STEPS='hygiene nbval' for some of it"
	@echo "make run NB=book/…/x.ipynb    run a notebook in a fresh kernel and store its outputs; without NB, all"
	@echo "make variations NB=…          run a notebook with its other parameters; without NB, all"
	@echo "make bench                    time and memory against plain code and the frameworks' own, a quarter of an hour;"
	@echo "                              CASES='torch 4096' for some of it"
	@echo "make mutate                   change attnlib in one place at a time: do its tests notice? (hours; POSIX)"
	@echo "                              ONLY='numpy/softmax torch/*' for some of it"
	@echo "make new NB=book/…/x.ipynb TITLE='…'     begin a chapter"
	@echo "make repository URL=https://github.com/owner/name     write the repository's address everywhere"
	@echo "make format                   format Python with ruff"
	@echo "make clean                    remove what was built and cached; .venv stays"
	@echo
	@echo "Without make (Windows), in this folder:"
	@echo "  py -m tools.venv            first; then, with .venv\\Scripts\\python instead of python:"
	@echo "  python -m tools.build_book  python -m tools.check  python -m tools.run [NOTEBOOK]"
	@echo "  python -m tools.variations [NOTEBOOK]  python -m tools.new_chapter NOTEBOOK TITLE"
	@echo "  python -m scripts.bench [--cases WORD ...]"
	@echo "  python -m tools.repository URL  python -m http.server --directory _build/html"

venv:
	@$(PYTHON) -m tools.venv

book: venv
	@$(RUN) -m tools.build_book

test: venv
	@$(RUN) -m tools.check $(STEPS)

run: venv
	@$(RUN) -m tools.run $(NB)

variations: venv
	@$(RUN) -m tools.variations $(NB)

bench: venv
	@$(RUN) -m scripts.bench $(if $(CASES),--cases $(CASES))

mutate: venv
	@$(RUN) -m scripts.mutate $(foreach module,$(ONLY),'$(module)')

serve:
	@test -f _build/html/index.html || { echo "error: nothing is built yet: make book"; exit 1; }
	@echo "http://localhost:8000 (stop with Ctrl-C)"
	@$(RUN) -m http.server --bind 127.0.0.1 --directory _build/html 8000

new: venv
	@$(RUN) -m tools.new_chapter "$(NB)" "$(TITLE)"

repository: venv
	@$(RUN) -m tools.repository $(URL)

format: venv
	@$(RUN) -m ruff format --exclude "*.ipynb" .
	@$(RUN) -m ruff check --fix .

clean:
	@rm -rf _build build .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
