# `make` alone explains itself.
.PHONY: help setup demo test style types audit check lock load soak clean

PYTHON = .venv/bin/python

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 10

demo:  ## set up what is missing, then poll 5,000 HTTP endpoints for half a minute
	@scripts/setup embedded
	$(PYTHON) examples/mass_polling.py --seconds 30

test:  ## set up what is missing, then run all tests
	@scripts/setup
	PYTHONHASHSEED=0 $(PYTHON) -m pytest -n 2 --dist loadfile  # both processes name test cases alike, sets included

style:  ## the style of all Python files
	@scripts/setup
	@$(PYTHON) -m ruff check -q .

types:  ## mypy, strict, on the package
	@scripts/setup
	@$(PYTHON) -m mypy --no-error-summary

audit:  ## known weaknesses of what CI installs, if the data can be reached
	@scripts/audit

check: test style types audit  ## all of these

lock:  ## write requirements.lock anew: what CI installs, with hashes
	@scripts/lock

load:  ## measure the promises beside peers and raw primitives (takes a while)
	@scripts/setup
	$(PYTHON) -m load_tests

soak:  ## two minutes of all verbs at random on every store, with nodes and databases killed and frozen
	@scripts/setup
	$(PYTHON) load_tests/verbs_fuzz.py --seconds 60 --seed $${SEED:-1}

clean:  ## remove what these made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
