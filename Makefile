# `make check` is `scripts/check`. Arguments follow in ARGS: make test ARGS="--fast tests/cli"
ARGS ?=
SCRIPTS := bench chaos check demo fuzz lock mutate test
.PHONY: help $(SCRIPTS)

help: ## the default: every target, with the first line of its script's description
	@for name in $(SCRIPTS); do printf '%-8s' $$name; sed -n '2s/^# / /p' scripts/$$name; done

$(SCRIPTS):
	@scripts/$@ $(ARGS)
