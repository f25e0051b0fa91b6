# `make` alone explains itself.
.PHONY: help setup demo demo-sqlite test quick style types docs wheels audit check lock load soak try-debian clean

# Another interpreter has an environment of its own: make quick PYTHON=python3.12
export VENV := $(if $(PYTHON),.venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'),.venv)
export PYTHON
RUN = $(VENV)/bin/python

# Most tests wait for processes and databases, so more of them run at once than there are cores.
# With this hash seed all processes name test cases alike, sets included.
# They start hundreds of programs, each of which would compile gsched again if no bytecode were kept.
PYTHON_OF_TESTS = PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE= $(RUN)
PYTEST = $(PYTHON_OF_TESTS) -m pytest -n 6 --dist worksteal
# pytest compiles tests in a way of its own. Of a fresh copy, each worker would compile all of them.
COMPILE = ls -d tests/unit/__pycache__/*$$($(RUN) -c 'import sys; print(sys.implementation.cache_tag)')-pytest* \
    >/dev/null 2>&1 || { $(PYTHON_OF_TESTS) -m pytest --collect-only -qq tests/stores tests/web tests/docs >/dev/null & \
    $(PYTHON_OF_TESTS) -m pytest --collect-only -qq tests/unit tests/claims tests/processes >/dev/null; wait; }

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

demo:  ## set up what is missing, then poll 5,000 HTTP endpoints for half a minute, with the jobs in MongoDB
	@scripts/setup embedded-mongodb,web
	$(RUN) examples/mass_polling.py --seconds 30 --web 0

demo-sqlite:  ## the same with the jobs in a SQLite file
	@scripts/setup sql,web
	$(RUN) examples/mass_polling.py --seconds 30 --sqlite --web 0

test:  ## set up what is missing, then run all tests
	@scripts/setup
	@$(COMPILE)
	$(PYTEST)

# Without the proof that each guard of the protocol is missed, which says something of the tests.
quick:  ## the tests of single parts and of the claim protocol; PYTHON=python3.12 takes another interpreter
	@scripts/setup
	@$(COMPILE)
	$(PYTEST) tests/unit tests/claims \
	    --deselect tests/claims/test_simulation.py::test_a_protocol_without_one_of_its_guards_fails

style:  ## the style of all Python files
	@scripts/setup
	@$(RUN) -m ruff check -q .

types:  ## mypy, strict: the package, and as on macOS and Windows all of it that does not need Linux; tsc: the pages
	@scripts/setup
	@scripts/check-pages
	@$(RUN) -m mypy --no-error-summary
	@for platform in darwin win32; do \
	    $(RUN) -m mypy --no-error-summary --platform $$platform --follow-imports=silent \
	        --exclude '^gsched/(cli|embedded|runner)/' || exit 1; done

docs:  ## build/site: the documentation as a site, with the Python API; a warning is an error
	@scripts/setup docs
	@$(RUN) -m sphinx -q -E -W --keep-going -c docs -d build/site-state . build/site

wheels:  ## what the library needs on macOS and Windows: is all of it there as wheels
	@scripts/wheels

audit:  ## known weaknesses of what CI installs, if the data can be reached
	@scripts/audit

check: test style types docs audit  ## all of these

lock:  ## write requirements.lock anew: what CI installs, with hashes
	@scripts/lock

load:  ## measure the promises beside peers and raw primitives (takes a while)
	@scripts/setup
	$(RUN) -m load_tests

try-debian:  ## try the guide that replaces cron, and the Dockerfile, on a fresh Debian (as root)
	@scripts/setup
	$(RUN) scripts/try-debian

soak:  ## look for faults for MINUTES=10: thousands of simulated seeds, all verbs at random, nodes and databases killed
	@scripts/setup
	@scripts/soak $${MINUTES:-10} $${SEED:-1}

clean:  ## remove what these made
	rm -rf node_modules .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
