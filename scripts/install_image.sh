#!/bin/sh
# What the Dockerfile installs: `install_image.sh WHEEL CONSTRAINTS`. `.ci/run` installs the wheel by it, too, into an
# environment of its own.
#   PYTHON=...           into whose environment (python)
#   TORCH_INDEX_URL=...  where to take torch from; the package index otherwise
set -eu
wheel=$1
constraints=$2
pip() { "${PYTHON:-python}" -m pip --disable-pip-version-check install --quiet -c "$constraints" "$@"; }
if [ -n "${TORCH_INDEX_URL:-}" ]; then
  pip --no-deps --index-url "$TORCH_INDEX_URL" torch
fi
pip "${wheel}[postgres]"
