# The project's commands. On a fresh machine `make verify` and `make test` do everything.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PROFILE ?= acceptance

.PHONY: verify test score score-live score-mechanical bench restore images clean lock

verify: .venv/ready
	$(BIN)/pytest suites/ --profile $(PROFILE) $(ARGS)

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q -o console_output_style=progress tests/

# What a prediction costs the offline model server; run it on a quiet machine.
bench: .venv/ready
	$(BIN)/python -m bench.model_server

# What the load generator reaches against a null server, beside hey; on a quiet machine too.
bench-load: .venv/ready
	$(BIN)/python -m bench.load

# Seeded defects in manifests: each must be caught by the test that is named for it.
score: .venv/ready
	$(BIN)/python -m mutants static

# Seeded defects that only a running stack shows, one after the other on a kept cluster, which is deleted at the end.
score-live: .venv/ready
	$(BIN)/python -m mutants live $(IDS); code=$$?; $(BIN)/python -m airgap clean --cluster mutants-fast; exit $$code

# Every field deleted and every value swapped, one at a time: a survivor that nobody has judged is red.
score-mechanical: .venv/ready
	$(BIN)/python -m mutants mechanical

# Undoes the faults that a run left which was killed; every run's start does the same for its cluster.
restore: .venv/ready
	$(BIN)/python -m shakedown.faults "$$($(BIN)/python -m airgap where)"

images: .venv/ready
	$(BIN)/python -m airgap images

clean: .venv/ready
	$(BIN)/python -m airgap clean
	rm -rf .venv .pytest-kind

# Pins every requirement with hashes; run it after editing a *.in file.
lock: .venv/ready
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --override requirements/overrides.txt requirements/main.in -o requirements/main.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --constraint requirements/main.txt --override requirements/overrides.txt \
	  requirements/server.in -o requirements/server.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --constraint requirements/main.txt --override requirements/overrides.txt \
	  requirements/load.in -o requirements/load.txt

# --no-deps: the file names every package there is, and tensorflow-cpu stands in for tensorflow
.venv/ready: requirements/main.txt
	@echo 'shakedown: installing what the suites run on into .venv (70 to 90 s on 2 cores) ...'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/main.txt
	touch $@
