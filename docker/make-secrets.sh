#!/usr/bin/env bash
# Writes the secrets of docker/compose.yaml into docker/secrets (or the folder given), those that are missing:
# random ones, and the URLs made of them. Only the owner of the folder gets at them; containers read single files.
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"
umask 022  # whatever the host's: users inside the containers read the files
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
keep() { [ -s "$1" ] || printf '%s' "$2" > "$1"; }
password=$(random | tr -d '=')
keep postgresql_password "$password"
password=$(cat postgresql_password)
for database in airflow mlflow facet; do
  keep "${database}_database_url" "postgresql+psycopg://facet:$password@postgresql:5432/$database"
done
keep milvus_password "$(random | tr -d '=')"
keep facet_milvus_token "root:$(cat milvus_password)"
keep facet_redis_password "$(random | tr -d '=')"
keep redis_users "user default on >$(cat facet_redis_password) ~* &* +@all"
keep airflow_broker_url "redis://:$(cat facet_redis_password)@redis:6379/1"
keep facet_admin_key "$(random)"
keep airflow_fernet_key "$(random)"
keep airflow_jwt_secret "$(random)$(random)"  # SHA-512 wants 64 bytes
keep airflow_secret_key "$(random)"
keep facet_airflow_password "$(random)"
keep airflow_passwords "{\"operator\": \"$(random)\", \"serving\": \"$(cat facet_airflow_password)\"}"
keep grafana_password "$(random)"
keep alert_webhook_url "http://127.0.0.1:9/put-your-webhook-here"
