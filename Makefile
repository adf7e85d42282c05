# make demo: install, make a small film, encode it, ask for both people.   make test: install, run the tests.
# The first of these that is Python 3.11 or newer makes the environment; make PYTHON=... names another.
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3 python
VENV := .venv
DHH := $(VENV)/bin/dhh
DEMO := demo

.PHONY: demo test exact bench check docs clean

$(VENV)/installed: pyproject.toml constraints.txt
	@test -x $(VENV)/bin/python && exit 0; \
	for python in $(PYTHON); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$python -m venv $(VENV)"; \
	        $$python -m venv $(VENV) && exit 0; \
	        rm -rf $(VENV); exit 1; \
	    fi; \
	done; \
	echo "no Python 3.11 or newer among: $(PYTHON); install one, or name it: make PYTHON=/path/to/python" >&2; exit 1
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(DHH) sample $(DEMO)
	$(DHH) encode $(DEMO)/film.mp4 --out $(DEMO)/codes.h5
	@echo "--- who is collins.jpg? (shots 2, 6 and 7 of the film show her)"
	$(DHH) query $(DEMO)/collins.jpg --codes $(DEMO)/codes.h5 --sheet $(DEMO)/collins.png
	@echo "--- who is hopper.jpg? (shots 3, 5 and 6 of the film show her)"
	$(DHH) query $(DEMO)/hopper.jpg --codes $(DEMO)/codes.h5 --sheet $(DEMO)/hopper.png

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest -n auto --dist worksteal

# every export format, thousands of answers each, read back by other people's readers; some minutes
exact: $(VENV)/installed
	DHH_EDIT_CASES=1000 $(VENV)/bin/python -m pytest tests/output/test_timelines.py

bench: $(VENV)/installed
	$(VENV)/bin/python -m pytest -s tests/bench/bench_*.py tests/bench/accuracy/bench_floats.py

check: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/installed
	PYTHONPATH=tools:tests/support $(VENV)/bin/cog -r README.md $(wildcard docs/*.md docs/*/*.md)

clean:
	rm -rf $(VENV) $(DEMO)
