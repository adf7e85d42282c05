# make demo: install, make a small film, encode it, ask for both people.   make test: install, run the tests.
PYTHON ?= python3.11
VENV := .venv
DHH := $(VENV)/bin/dhh
DEMO := demo

.PHONY: demo test exact bench check docs clean

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
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
	$(VENV)/bin/python -m pytest -n auto

# every export format, thousands of answers each, read back by other people's readers; some minutes
exact: $(VENV)/installed
	DHH_EDIT_CASES=1000 $(VENV)/bin/python -m pytest tests/test_edit.py

bench: $(VENV)/installed
	$(VENV)/bin/python -m pytest -s tests/bench/*.py

check: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/installed
	PYTHONPATH=tools:tests $(VENV)/bin/cog -r README.md $(wildcard docs/*.md docs/*/*.md)

clean:
	rm -rf $(VENV) $(DEMO)
