# The verbs of this house. `make run` and `make test` need only git, make and python3 with venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# twice quiet: only errors; what else pip has to say is of no use to whoever sets this up
PIP    := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
STATE  ?= .run
ONCE   ?=
NODES  ?= 3
RUN    := requirements/run.txt requirements/broker.txt requirements/micropython.txt

.DEFAULT_GOAL := help
.PHONY: help .set-up run test check e2e field mutants bench soak soak-power soak-flash soak-crash soak-kills soak-days soak-nodes soak-sim ledger clean

help: ## Show the verbs
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# -- setting up: each stamp is made anew when what it depends on changes ----------------------
$(VENV)/.run-ready: $(RUN) pyproject.toml tools/fetch_umqtt.py
	@printf 'setting up        .venv, %s packages\n' "$$(cat $(RUN) | grep -c '==')"
	@$(MAKE) --no-print-directory -s .set-up BEGUN=$$(date +%s)
	@touch $@

.set-up:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "error: python3 cannot make a virtual environment" >&2; \
	  echo "why:   its venv module is missing" >&2; \
	  echo "next:  sudo apt install python3-venv" >&2; exit 69; }
	@$(PIP) install -r requirements/run.txt
	@sh tools/optional.sh "$(PIP)" requirements/broker.txt 'for a broker, sudo apt install mosquitto'
	@sh tools/optional.sh "$(PIP)" requirements/micropython.txt 'simulated nodes run on CPython'
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python tools/fetch_umqtt.py --quiet
	@printf 'setting up        done in %s s\n' $$(($$(date +%s) - $(BEGUN)))

$(VENV)/.test-ready: $(VENV)/.run-ready requirements/test.txt
	@printf 'setting up        test tools, %s packages\n' "$$(grep -c '==' requirements/test.txt)"
	@$(PIP) install -r requirements/test.txt
	@sh tools/need-mosquitto.sh
	@sh tools/need-strace.sh
	@touch $@

run: $(VENV)/.run-ready ## The main job: broker, gateway, three nodes, a config each (ONCE=1 to exit when done)
	@trap : INT; $(BIN)/gateway --state-dir $(STATE) run --simulate $(NODES) $(if $(ONCE),--once,) \
	  || { code=$$?; test $$code = 130 || exit $$code; } # Ctrl+C is how it ends

# four workers for two cores: most tests wait for another process
test: $(VENV)/.test-ready check ## Everything that proves it, in some ten minutes
	@$(BIN)/python -m pytest -q -n 4 --dist loadgroup $(ARGS)

check: $(VENV)/.test-ready ## Lint and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright --project device/pyrightconfig.json

soak-flash: $(VENV)/.test-ready ## Power cuts on a node's flash: every byte and every pair, on every chip
	@SOAK_FLASH=1 $(BIN)/python -m pytest -q -s --timeout 1200 tests/device/test_power_cuts.py tests/device/test_ring_cuts.py $(ARGS)

soak-days: $(VENV)/.test-ready ## Ninety days of one node, in minutes
	@SOAK_DAYS=90 $(BIN)/python -m pytest -q -s --timeout 6000 tests/device/test_days.py $(ARGS)

soak-nodes: $(VENV)/.test-ready ## Forty scripts of bad weather, three hundred real nodes each; goes on where it was stopped
	@$(BIN)/python -m tests.faults.weather.soak $(ARGS)

e2e: $(VENV)/.test-ready ## The journeys alone
	@$(BIN)/python -m pytest -q tests/e2e $(ARGS)

field: $(VENV)/.test-ready ## What went wrong in the field, one test each
	@$(BIN)/python -m pytest -q tests/field $(ARGS)

mutants: $(VENV)/.test-ready ## Seeded defects: does each one's test notice it? (names in ARGS, a few minutes)
	@$(BIN)/python tests/mutants $(ARGS)

bench: $(VENV)/.test-ready ## Measure, some twenty minutes alone on the machine (one table: ARGS=lanes; keep them: ARGS="--into docs/figures.md")
	@$(BIN)/python -m bench $(ARGS)

soak: soak-power soak-flash soak-crash soak-kills soak-days soak-nodes soak-sim ## Faults at length: hours, not minutes

soak-power: $(VENV)/.test-ready ## A million power cuts, an error from every call, ext4 crashes, flipped bits
	@$(BIN)/python -m tests.faults.power.soak $(ARGS)

ledger: $(VENV)/.test-ready ## Kill everything at random: what was sent, promised, done and lost
	@$(BIN)/python -m tests.faults.ledger $(ARGS)

soak-kills: $(VENV)/.test-ready ## Ten thousand kills at random moments; goes on where it was stopped
	@$(BIN)/python -m tests.faults.ledger.soak $(ARGS)

soak-sim: $(VENV)/.test-ready ## A million node-hours of pure parts, hundreds of whole gateways, on a virtual clock
	@$(BIN)/python -m tests.sim.soak $(ARGS)

soak-crash: $(VENV)/.test-ready ## A kill at every labelled step, and hundreds of pairs of them
	@$(BIN)/python -m tests.faults.crash.soak $(ARGS)

clean: ## Remove what the verbs made (never your state)
	@rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
