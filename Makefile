# Two commands for a newcomer: `make ablation` and `make test`. Everything they need goes into .venv and data/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := data


.PHONY: help setup data ablation system slurm-lab slurm-lab-down test faults check house lock clean

help:
	@echo "make ablation   install, make synthetic data, train Table 1's seven networks at small scale, print the table"
	@echo "make system     install what some tests need beside Python (Debian, as root): Chromium, Slurm, PostgreSQL, gcc"
	@echo "make slurm-lab  as root: a Slurm of three nodes on this machine (docs/slurm-lab.md); slurm-lab-down removes it"
	@echo "make test       install, run the tests"
	@echo "make faults     as root: lost nodes and preemptions on a real Slurm, twenty minutes"
	@echo "make check      ruff, mypy, import contracts"
	@echo "make house      how the code is built, beside the bars: folders, imports, types, names"
	@echo "make data       install, make and pack the synthetic data"
	@echo "make clean      remove .venv, data, report AND runs: every trained network"
	@echo "make lock       write the versions in .venv to constraints.txt"

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

data: setup
	$(BIN)/sanpose data synth --preset quick --out $(DATA)/synth
	$(BIN)/sanpose data prepare h36m --src $(DATA)/synth/h36m --out $(DATA)/packed/h36m.h5
	$(BIN)/sanpose data prepare mpii --src $(DATA)/synth/mpii --out $(DATA)/packed/mpii.h5
	$(BIN)/sanpose data prepare coco --src $(DATA)/synth/coco --out $(DATA)/packed/coco.h5

# One core a network: two small networks side by side take half the time of one after the other on two cores.
# The report comes after a failure too: it shows the cell that failed, and why.
ablation: data
	@echo "sanpose tune sweep=table1 preset=quick train.threads=1"
	@$(BIN)/sanpose tune sweep=table1 preset=quick train.threads=1; ended=$$?; \
	  $(BIN)/sanpose relationship --sweep table1-quick || ended=2; \
	  $(BIN)/sanpose report --sweep table1-quick && exit $$ended

# What some tests need beside Python's packages: a browser, a Slurm, a database, a C compiler. As root, on Debian and its like.
system:
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core gcc libc6-dev \
	  slurmctld slurmd slurm-client munge iproute2 slurmdbd mariadb-server-core mariadb-client-core postgresql

slurm-lab:
	tests/slurmlab/slurmlab up
	tests/slurmlab/slurmlab status

slurm-lab-down:
	tests/slurmlab/slurmlab down

test: setup
	$(BIN)/pytest

# Lost nodes, preemptions and time limits on the Slurm lab: too long for every change. As root.
faults: setup
	$(BIN)/pytest -m faults

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

house:
	$(PYTHON) -m bench.house

lock: setup
	{ echo "# The versions that sanpose is tested with (Python 3.11, Linux x86-64). Used by every install: pip install -c constraints.txt"; \
	  $(BIN)/pip freeze --exclude-editable; } > constraints.txt

clean:
	rm -rf $(VENV) $(DATA) runs report
