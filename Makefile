# Each target does its own set-up; on Debian as root it also installs the system packages that are missing.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:
bin := .venv/bin
system := bash deploy/setup/system.sh
python := bash deploy/setup/python.sh
export PYTHON

.PHONY: help demo test setup check fuzz crash bench chaos soak broker image picture schemas documents sessions locks format audit sbom

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

demo: ## a simulated market, live on http://127.0.0.1:8080
	@$(python) run
	@$(bin)/dhpe demo

test: check ## all checks and all tests
	@$(bin)/dhpe kernels
	@$(bin)/pytest

setup: ## everything that the other targets need
	@$(system) java maven chromium libatomic prometheus $(shell [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo buildah)
	@$(python) dev

check: setup ## lint, types, import floors, schemas, documents
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/dhpe schemas --check
	$(bin)/python -m deploy.documents.settings --check
	$(bin)/python -m deploy.documents.limits --check
	$(bin)/hadolint Dockerfile
	$(bin)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

fuzz: setup ## records, bytes, columns, files and requests that nobody wrote, for FUZZ_SECONDS (600); a failure names its FUZZ_SEED
	@$(bin)/dhpe kernels
	@FUZZ_SECONDS=$$(($${FUZZ_SECONDS:-600} / 5)) FUZZ_SEED=$${FUZZ_SEED:-$$(date +%s)} $(bin)/pytest tests/fuzz

crash: setup ## kill -9 a process on the embedded log 200 times, at random instants
	@$(bin)/dhpe kernels
	@DHPE_TEST_KILLS=$${DHPE_TEST_KILLS:-200} $(bin)/pytest tests/crash

bench: ## what this machine does: parts beside their baselines, and the speed table of the README
	@$(python) run
	@$(bin)/dhpe bench
	@PYTHONPATH=tests $(bin)/python tests/benchmarks/surface_fit.py
	@$(bin)/python tests/benchmarks/main_line.py
	@$(system) java maven
	@$(bin)/python tests/benchmarks/transactions.py
	@$(bin)/python tests/benchmarks/shares.py
	@$(bin)/python tests/benchmarks/restore.py

chaos: ## every fault many times on real brokers, an hour; the table of what was lost, doubled, different
	@$(system) java maven
	@$(python) dev
	@$(bin)/dhpe kernels
	@PYTHONPATH=tests:tests/kafka $(bin)/python -m faults.chaos --json chaos.json

soak: ## an hour on a live simulated market (MINUTES=5 for less): memory and latency as a figure, soak/figure.svg
	@$(system) java maven
	@$(python) run
	@$(bin)/dhpe kernels
	@PYTHONPATH=tests:tests/kafka $(bin)/python -m faults.soak $(if $(MINUTES),--minutes $(MINUTES))

broker: ## a real Kafka (KRaft) on 127.0.0.1:9092, in the foreground
	@$(system) java maven
	@exec deploy/broker/broker.sh $(PORT)

image: ## the container image, built and proven without a container service
	@$(system) buildah
	@$(python) run
	@bash deploy/image/prove.sh

audit: ## the locked packages beside the published advisories; says so where these cannot be reached
	@$(python) dev
	@$(bin)/python deploy/supply/audit.py

sbom: ## build/sbom.cdx.json, what the image holds (CycloneDX)
	@$(python) dev
	@$(bin)/python deploy/supply/sbom.py

picture: ## docs/picture.png, from the real page
	@$(system) chromium libatomic
	@$(python) dev
	@$(bin)/python deploy/picture/picture.py

schemas: ## write schemas/ anew
	@$(python) run
	@$(bin)/dhpe schemas

documents: ## write the pages of docs/ that are made of the service itself
	@$(python) run
	@$(bin)/python -m deploy.documents.settings
	@$(bin)/python -m deploy.documents.limits
	@$(bin)/python -m deploy.documents.gain
	@$(bin)/python -m deploy.documents.books

sessions: ## write the table of exchange sessions anew from exchange_calendars
	@$(python) dev
	@$(bin)/python deploy/sessions/sessions.py

locks: ## compile requirements/ anew from pyproject.toml
	@$(python) dev
	@bash deploy/setup/locks.sh

format: ## format the sources
	@$(python) dev
	@$(bin)/ruff check --fix-only --quiet .
	@$(bin)/ruff format .
