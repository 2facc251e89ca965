# Every target sets up .venv by itself when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup quick test slow gpu gpu-record reference lint clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## create .venv and install the project into it

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

quick: $(READY)  ## the study in three minutes on a CPU, without network
	$(BIN)/resnet-exp experiment=quick

test: $(READY)  ## all tests but the slow ones, on the CPU
	CUDA_VISIBLE_DEVICES= $(BIN)/python -m pytest -n auto --dist loadfile -m 'not slow'

slow: $(READY)  ## the slow tests, on the CPU
	CUDA_VISIBLE_DEVICES= $(BIN)/python -m pytest -m slow

gpu: $(READY)  ## the tests of a GPU, which they want for themselves
	$(BIN)/python -m pytest -m gpu

gpu-record: $(READY)  ## with a GPU for a short time: its tests, the benchmark, the paper's study, in pieces of nine minutes
	scripts/gpu_record.sh $(DATA)

reference: $(READY)  ## repeat the recorded studies: hours; DATA='data=image_folder data.root=DIR' for other images
	scripts/reference.sh $(DATA)

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove .venv and caches, keep outputs
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build dist
