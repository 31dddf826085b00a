# `make dev` and `make test` are all a newcomer needs; both set up .venv/ first.
# After that, .venv/bin/python manage.py ... does the rest.

PYTHON ?= python3
UV = .venv/bin/uv pip
# As in production, with a database that nobody looks for.
PRODUCTION = env -u DEBUG -u HTTPS DATABASE_URL=postgres://db.invalid/joblogs \
	ALLOWED_HOSTS=jobs.example.org \
	SECRET_KEY=$$(.venv/bin/python -c 'import secrets; print(secrets.token_urlsafe(50))')
COMPILE = .venv/bin/uv pip compile --quiet --generate-hashes --universal --no-annotate \
	--custom-compile-command "make lock"

# Hundreds of processes start in the tests, and need not compile the project each time.
test soak chaos: export PYTHONDONTWRITEBYTECODE =

.PHONY: help dev test soak chaos check benchmark format lock

help:
	@echo "make dev        run the site, a worker and an embedded PostgreSQL on this machine"
	@echo "make test       run all tests but the troubles (CONTRIBUTING.md: some of them, or more)"
	@echo "make soak       run the tests that think up their input, with far more of it"
	@echo "make chaos      kill, stop and starve workers and PostgreSQL, and see what comes of it"
	@echo "make check      run the linters, the type checker and Django's own checks"
	@echo "make benchmark  time the pages of jobs with a million of them"
	@echo "make format     format code and templates"
	@echo "make lock       pin the newest versions that pyproject.toml allows"

dev: .venv/installed
	@.venv/bin/python manage.py dev $(ARGS)

test: .venv/installed
	.venv/bin/python -m pytest $(ARGS)

soak: .venv/installed
	.venv/bin/python -m pytest --long tests/security tests/engine/test_property.py $(ARGS)

chaos: .venv/installed
	.venv/bin/python -m tests.chaos $(ARGS)

check: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/djade --target-version 5.2 --check $$(git ls-files '*.html')
	.venv/bin/mypy .
	.venv/bin/lint-imports
	.venv/bin/python manage.py makemigrations --check --dry-run
	.venv/bin/python manage.py check
	@$(PRODUCTION) .venv/bin/python manage.py check --deploy --fail-level WARNING

benchmark: .venv/installed
	.venv/bin/python -m tests.benchmarks.job_admin

format: .venv/installed
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/djade --target-version 5.2 $$(git ls-files '*.html')

lock: .venv/installed
	$(COMPILE) --upgrade --output-file requirements.txt pyproject.toml
	$(COMPILE) --upgrade --output-file requirements-dev.txt --constraint requirements.txt \
		--group dev pyproject.toml
	$(COMPILE) --upgrade --output-file requirements-bootstrap.txt --group bootstrap

# Made anew only when a lock file changes.
.venv/installed: requirements-dev.txt requirements-bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Joblogs needs Python 3.11 or newer; try: make PYTHON=python3.12 dev"; exit 1; }
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --quiet --require-hashes -r requirements-bootstrap.txt
	@$(UV) sync --quiet --compile-bytecode --require-hashes --python .venv/bin/python requirements-dev.txt
	@touch $@
