#!/usr/bin/env bash
# Installs a real Milvus, as one process, into build/milvus: for tests and benchmarks on loopback, never for production.
# It has a virtual environment of its own, since the wheel pins what it likes. Does nothing if it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
version=2.3.5
place=build/milvus
[ "$(cat $place/installed 2>/dev/null)" = $version ] && exit 0
rm -rf $place
"${PYTHON:-python3.11}" -m venv $place
$place/bin/python -m pip install --quiet --disable-pip-version-check "milvus==$version" setuptools
# The server unpacks itself, 250 MB, into every data folder that lacks it: once is enough.
$place/bin/python -c "import milvus; milvus._initialize_data_files('$place/server')"
echo $version > $place/installed
