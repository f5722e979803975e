# Running needs Python 3.10 or newer and nothing else. Testing makes its own environment in .venv.

PYTHON ?= python3
VENV ?= .venv

HOST ?= 127.0.0.1
PORT ?= 65432
PASSCODE ?= abc12
USERNAME ?= Alice
UI ?= line
CERT ?= certificate.pem
KEY ?= key.pem

PYTHONS ?= 3.10 3.12 3.13 3.14
MINUTES ?= 5
SECONDS ?= 60
AUTOBAHN_PYTHON ?= python2.7

BIN = $(VENV)/bin
BENCH_VENV = $(VENV)-bench
BENCH_TOOLS = $(BENCH_VENV)/.tools
FUZZ_VENV = $(VENV)-fuzz
FUZZ_TOOLS = $(FUZZ_VENV)/.tools
ARM_USERLANDS = $(VENV)-arm
TOOLS = $(VENV)/.tools
MAKE_VENV = $(PYTHON) -m venv
NO_VENV = { echo "error: $(PYTHON) makes no virtual environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }

# Tests that put a fault into the import of our modules, which dist/ does not import; Python 3.6,
# which does not know `from __future__ import annotations`; and TLS, which dist/ does not have.
NOT_JOINED = server_that_never_answers or server_that_does_not_read or signal_while_a_program_starts or parses_whole_on_python_3_6 or test_tls or test_service or test_upkeep or unread_warning_does_not_keep

.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##/\1/p' $(MAKEFILE_LIST) | awk '{ name = $$1; $$1 = ""; printf "%-18s%s\n", name, $$0 }'
	@echo "variables: HOST=$(HOST) PORT=$(PORT) PASSCODE=$(PASSCODE) USERNAME=$(USERNAME) PYTHON=$(PYTHON)"

run-server:  ## start a room: PORT, PASSCODE
	@exec $(PYTHON) server.py -start -port "$(PORT)" -passcode "$(PASSCODE)"

run-web:  ## start a room with a page at http://localhost:8080/ (needs h11 and wsproto)
	@exec $(PYTHON) server.py -start -port "$(PORT)" -passcode "$(PASSCODE)" -web 8080

# The client dies of Ctrl-C, which make would report as a failure of its own.
run-client:  ## join the room: HOST, PORT, USERNAME, PASSCODE
	@trap : INT; $(PYTHON) client.py -join -host "$(HOST)" -port "$(PORT)" -username "$(USERNAME)" \
		-passcode "$(PASSCODE)"; status=$$?; [ $$status -eq 130 ] || exit $$status

run-cluster: $(TOOLS)  ## a room on three servers and a Redis of its own (docs/CLUSTER.md): PORT to PORT+2, PASSCODE
	@trap : INT; ./tools/run-cluster "$(BIN)/python" "$(PORT)" "$(PASSCODE)"

certificate:  ## make one that signs itself, for HOST, in CERT and KEY; print its fingerprint to hand out
	@./tools/certificate "$(HOST)" "$(CERT)" "$(KEY)"

chat:  ## join the room at a terminal: what you type stays whole, or plain where that is not possible; PASSCODE= asks; UI=full
	@trap : INT; ui="$(UI)"; [ "$$ui" != line ] || $(PYTHON) -m tools.interface || ui=plain; \
		$(PYTHON) client.py -join -host "$(HOST)" -port "$(PORT)" -username "$(USERNAME)" -ui $$ui \
		$(if $(PASSCODE),-passcode "$(PASSCODE)"); status=$$?; [ $$status -eq 130 ] || exit $$status

test: $(TOOLS)  ## run the tests, at a small size, but those in a browser (test-web); ARGS is passed on to pytest
	@$(BIN)/python -m pytest -q -n auto --ignore tests/web/test_browser.py $(ARGS)

# What was compiled is kept, whatever the environment says: to compile it takes each worker seconds.
test test-long: export PYTHONDONTWRITEBYTECODE =

test-long: $(TOOLS)  ## the same at full size: all seeds, many examples
	@TEST_LONG=1 $(BIN)/python -m pytest -q -n auto -o timeout=600 $(ARGS)

test-web: $(TOOLS)  ## the tests of the page and of what serves it; needs chromium and chromium-driver for all of them
	@$(BIN)/python -m pytest -q -o addopts="--strict-markers --strict-config -p no:cacheprovider" tests/web $(ARGS)

autobahn:  ## conformance by Autobahn's fuzzing client, where there is a Python 2.7 with autobahntestsuite: AUTOBAHN_PYTHON
	@$(BIN)/python -m tests.web.autobahn "$(AUTOBAHN_PYTHON)"

test-all:  ## run the tests on each of PYTHONS that is found
	@PYTHONS="$(PYTHONS)" MAKE="$(MAKE)" ./tools/test-all

lint: $(TOOLS)  ## check style and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(TOOLS)  ## check types, strictly, as Python 3.10
	@$(BIN)/mypy

coverage: $(TOOLS)  ## codec and chat 100 %, the pure part of cluster 99 %, reactor 97 % by branches, each from its own tests
	@$(BIN)/python -m pytest -q tests/codec --cov=codec --cov-branch --cov-report=term-missing --cov-fail-under=100
	@$(BIN)/python -m pytest -q tests/reactor --cov=reactor --cov-branch --cov-report=term-missing --cov-fail-under=97
	@$(BIN)/python -m pytest -q tests/cluster --cov=cluster.records --cov=cluster.replica --cov=cluster.outputs --cov=cluster.queue --cov=cluster.snapshots --cov=cluster.view --cov=cluster.lateness --cov=cluster.participant --cov=cluster.node --cov-branch --cov-report=term-missing --cov-fail-under=99
	@$(BIN)/python -m pytest -q tests/test_*.py --cov=chat --cov-branch --cov-report=term-missing --cov-fail-under=100

bench: $(BENCH_TOOLS)  ## measure beside other servers (5 minutes); rewrites docs/bench.*
	@$(BENCH_VENV)/bin/python -m bench --json docs/bench.json --plot docs/bench.svg --table docs/bench.md

bench-quick: $(BENCH_TOOLS)  ## a taste of it (30 seconds), on the screen alone
	@$(BENCH_VENV)/bin/python -m bench --size quick

bench-long: $(BENCH_TOOLS)  ## the works that take longer than 20 seconds, on the screen alone
	@$(BENCH_VENV)/bin/python -m bench --size long

man: $(TOOLS)  ## write the manual pages from the parsers (service/man)
	@$(BIN)/python -m tools.man

bench-flow: $(BENCH_TOOLS)  ## lines without end, members that do not read or are stopped: nothing lost, memory bounded (1 minute)
	@$(BENCH_VENV)/bin/python -m bench.flow $(ARGS)

cluster-bench: $(TOOLS)  ## what a cluster costs beside one server, and its latency (3 minutes; needs redis-server)
	@$(BIN)/python -m bench.cluster $(ARGS)

simulate: $(TOOLS)  ## play new seeds of the simulated network for MINUTES
	@$(BIN)/python -m tests.simulation --minutes $(MINUTES)

replay: $(TOOLS)  ## play one SEED of it step by step
	@$(BIN)/python -m tests.simulation --seed $(or $(SEED),$(error SEED=… says which))

fuzz: $(FUZZ_TOOLS)  ## attack the pure core for SECONDS, guided by coverage where atheris is there
	@$(FUZZ_VENV)/bin/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

fuzz-wire:  ## attack a running room for SECONDS: HOST, PORT, PASSCODE
	@$(PYTHON) -m tests.fuzz.wire --host $(HOST) --port $(PORT) --passcode $(PASSCODE) --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

siege:  ## the same against a server of its own
	@$(PYTHON) -m tests.fuzz.siege --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

faults: $(TOOLS)  ## let every system call fail once under a small session (needs strace)
	@$(BIN)/python -m tests.faults $(ARGS)

fault-table: $(TOOLS)  ## name in docs/RELIABILITY.md the tests that are marked for each fault
	@$(BIN)/python -m tests.support.faults --write

cluster-faults: $(TOOLS)  ## faults of Redis, network and a server under 8,000 lines a second (3 minutes); ARGS=--quick
	@$(BIN)/python -m tests.cluster.faults $(ARGS)

soak: $(TOOLS)  ## a siege for MINUTES, and a watch on what the server holds when all are gone; ARGS=--upkeep: with all flags of a term
	@$(BIN)/python -m tests.fuzz.siege --watch --seconds $$(( 60 * $(MINUTES) )) $(ARGS)

arm-session: $(TOOLS)  ## play a session on arm64 and armhf, the clock at 1970 (3 minutes; needs root, debootstrap, qemu-user-static)
	@$(BIN)/python -m tools.arm_session $(ARM_USERLANDS)

hand-in:  ## join each program with its modules: dist/server.py and dist/client.py, to hand in
	@$(PYTHON) -m tools.flatten dist

grade:  ## grade the solution of the assignment in DIR
	@$(PYTHON) -m grader "$(or $(DIR),$(error usage: make grade DIR=path/to/solution))" $(ARGS)

test-grader: $(TOOLS)  ## run the grader's own tests (three minutes)
	@$(BIN)/python -m pytest -q -o addopts="--strict-markers --strict-config -p no:cacheprovider" tests/grader $(ARGS)

test-grader-quick: $(TOOLS)  ## the smallest of them: our own programs, and one mistake of each group
	@$(BIN)/python -m pytest -q -o addopts="--strict-markers --strict-config -p no:cacheprovider" tests/grader/test_ci.py tests/grader/test_forgive.py tests/grader/test_mutants.py $(ARGS)

mutants: $(TOOLS)  ## grade our own programs with each of many mistakes in them (half an hour); goes on where it ended
	@$(BIN)/python -m tests.grader.mutants --state .mutants $(ARGS)

habits: $(TOOLS)  ## grade correct programs with odd manners, quiet and beside busy loops (half an hour); goes on where it ended
	@$(BIN)/python -m tests.grader.habits --state .habits $(ARGS)

grade-stability: $(TOOLS)  ## grade the same solutions twenty times, on a quiet and on a busy machine
	@TEST_LONG=1 $(BIN)/python -m pytest -q -s -o addopts="--strict-markers --strict-config -p no:cacheprovider" tests/grader/test_ci.py -k busy_loops $(ARGS)

test-hand-in: hand-in $(TOOLS)  ## grade what is handed in, on pipes and on terminals, and run the end-to-end tests on it
	@$(PYTHON) -m grader dist --strict
	@$(PYTHON) -m grader dist --strict --pty
	@TEST_PROGRAMS=dist $(BIN)/python -m pytest -q -n auto tests/end_to_end -k "not ($(NOT_JOINED))" $(ARGS)

autograder:  ## build autograder.zip for Gradescope (docs/GRADING.md)
	@$(PYTHON) -m tools.autograder.build autograder.zip

picture: $(TOOLS)  ## draw docs/session.svg, docs/report.svg, docs/client.svg and docs/full.svg from runs of the real programs
	@$(BIN)/python -m tools.picture docs/session.svg docs/report.svg docs/client.svg docs/full.svg

architecture:  ## draw docs/architecture.svg, the layers, from the imports
	@$(PYTHON) -m tools.structure docs/architecture.svg

page-picture: $(TOOLS)  ## draw docs/page.png: a browser and a terminal in one room (needs chromium)
	@$(BIN)/python -m tools.page_picture docs/page.png

lessons: $(TOOLS)  ## draw docs/lessons/ for docs/LESSONS.md from runs of the real programs
	@$(BIN)/python -m tools.lessons docs/lessons

clean:  ## remove everything that was made
	@rm -rf .venv .venv-* .habits .mutants .coverage .hypothesis .mypy_cache .ruff_cache dist autograder.zip
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(TOOLS): requirements-dev.txt
	@$(MAKE_VENV) $(VENV) || $(NO_VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(BENCH_TOOLS): requirements-bench.txt
	@$(MAKE_VENV) $(BENCH_VENV) || $(NO_VENV)
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

$(FUZZ_TOOLS): requirements-dev.txt requirements-fuzz.txt
	@$(MAKE_VENV) $(FUZZ_VENV) || $(NO_VENV)
	@$(FUZZ_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -r requirements-fuzz.txt
	@touch $@

.PHONY: man help arm-session page-picture run-web run-cluster test-web autobahn run-server run-client chat certificate test test-long test-all lint types coverage bench bench-quick bench-long \
	bench-flow cluster-bench cluster-faults simulate replay fuzz fuzz-wire siege faults fault-table soak hand-in grade test-grader test-grader-quick mutants habits grade-stability test-hand-in \
	autograder picture architecture lessons clean
