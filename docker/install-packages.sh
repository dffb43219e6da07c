#!/usr/bin/env bash
# Installs the Debian packages that tests need (docker/apt.txt); without root it prints the one command.
set -euo pipefail
cd "$(dirname "$0")"
missing=()
for package in $(grep -v '^#' apt.txt); do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
install="apt-get update -q && apt-get install -y -q --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
  DEBIAN_FRONTEND=noninteractive bash -c "$install"
elif sudo -n true 2>/dev/null; then
  sudo bash -c "$install"
else
  echo "Tests need Debian packages. Run: sudo sh -c '$install'" >&2
  exit 1
fi
