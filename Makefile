PYTHON = .venv/bin/python

.PHONY: run
run:
	@$(PYTHON) -m tools.run $(NB)
