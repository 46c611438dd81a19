# `make run` and `make test` are the two commands of the README; each sets up what it needs first.
.PHONY: run test check bench fuzz setup setup-dev clean

run: setup
	.venv/bin/rgw nano $(ARGS)

test: setup-dev
	.venv/bin/python -m pytest $(ARGS)

check: setup-dev
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup-dev
	.venv/bin/python -m benchmarks $(ARGS)

# make fuzz PARSER=chunks ARGS=-max_total_time=600: one parser, or all of them, for as long as is said
fuzz: setup-dev
	.venv/bin/python -m tests.fuzz $(or $(PARSER),all) $(or $(ARGS),-max_total_time=120)

setup:
	scripts/setup

setup-dev:
	scripts/setup --dev

clean:
	rm -rf .venv build *.egg-info
