#!/usr/bin/env bash
# Installs what docker/airflow.lock has beyond requirements.lock (Celery) into build/celery: tests put it on PYTHONPATH
# and run the services of docker/compose.yaml without containers. Does nothing if it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
place=build/celery
more=$(LC_ALL=C comm -13 <(LC_ALL=C sort requirements.lock) <(LC_ALL=C sort docker/airflow.lock))
[ "$(cat $place/installed 2>/dev/null)" = "$more" ] && exit 0
rm -rf $place
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --target $place $more
echo "$more" > $place/installed
