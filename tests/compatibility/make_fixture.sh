#!/usr/bin/env bash
# make_fixture.sh CHECKOUT OUT.tar.xz: a small folder of runs, made by the version in CHECKOUT (with its .venv, as
# `make setup` leaves it): packed files, a finished run, an interrupted run and an interrupted search, the report of all
# these, and in expected/ what that version makes of the interrupted ones when it resumes them.
# In the text files @HERE@ stands for the folder that holds them. version_before.tar.xz was made from commit d901d11.
set -euo pipefail
checkout=$(realpath "$1") out=$(realpath "$2")
python=$checkout/.venv/bin/python
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
here=$scratch/here
mkdir "$here"
cd "$here"

sanpose() { "$python" -m sanpose "$@"; }

# interrupted FILE KIND COUNT COMMAND...: send Ctrl-C once FILE (a pattern) has COUNT lines of a kind.
interrupted() {
  local file=$1 text=$2 count=$3
  shift 3
  "$python" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(sys.executable, [sys.executable, "-m", "sanpose", *sys.argv[1:]])' "$@" &
  until (($(cat $file 2>/dev/null | grep -c "$text") >= count)); do sleep 0.05; kill -0 $!; done
  kill -INT $!
  wait $! && { echo "the command has finished: it was to be interrupted" >&2; exit 1; }
  return 0
}

PYTHONPATH=$checkout "$python" -c 'from pathlib import Path
from tests.sanpose import tiny
for source in ("h36m", "mpii"):
    tiny.write(Path(), source, count=12)'

network=(
  preset=smoke ablation=c data.sources.h36m.file=h36m.h5 data.sources.mpii.file=mpii.h5 model.width=0.02
  model.deconv_channels=2 model.depth_bins=4 "eval.sets=[h36m,mpii]" train.threads=1 train.keep=1 eval.every=0
)
sanpose train "${network[@]}" train.learning_rate=0.03
run=(train "${network[@]}" train.learning_rate=0.03 train.seed=1 train.epochs=12)
interrupted 'runs/*/metrics.jsonl' '"kind": "epoch"' 4 "${run[@]}"

cat > rates.yaml <<'Y'
title: A search of three trials
axes:
  train.learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}
search: {sampler: tpe, trials: 3}
Y
# train.threads=0: one trial at a time. The first is done, the second has begun, the third has not.
search=(tune --keep none sweep=rates.yaml "${network[@]}" train.threads=0 train.epochs=4)
interrupted 'runs/*/result.json' '"status": "done"' 2 "${search[@]}"

sanpose report --no-page --out report > /dev/null
sanpose report --no-page --sweep rates-smoke --out report-of-sweep > /dev/null
rm -r report*/*.md report*/*.tex runs/*/predictions runs/*/tensorboard runs/*/logs

cp -a runs before
sanpose "${run[@]}"
sanpose "${search[@]}"
mkdir expected
cp runs/sweeps/rates-smoke/trials.jsonl expected
for folder in runs/*/; do
  [ "$folder" = runs/sweeps/ ] || cp "$folder/result.json" "expected/$(basename "$folder").json"
done
rm -r runs
mv before runs

# The report takes the record that was written last: files keep their times.
grep -rlI . . | while read -r file; do
  touch -r "$file" "$scratch/time"
  sed -i "s|$here|@HERE@|g; s|$checkout|@CHECKOUT@|g; s|\"\(host\|hostname\)\": \"[^\"]*\"|\"\1\": \"host\"|" "$file"
  touch -r "$scratch/time" "$file"
done
if grep -r -e "$here" -e "$checkout"; then echo "a path of this machine is left" >&2; exit 1; fi
tar --sort=name --owner=0 --group=0 --numeric-owner -c . | xz -9e > "$out"
