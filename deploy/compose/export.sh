#!/bin/sh
# Makes the key of Triton's restricted protocols, once, then publishes the model that the service `settings`
# describes. Flags: nitrogen-export's.
set -eu
key=/keys/triton
if [ ! -s "$key" ]; then
    # Whole or not at all, should this be killed here.
    (umask 077 && printf 'nitrogen=%s\n' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >"$key.new")
    mv "$key.new" "$key"
fi
waited=0
while [ ! -e /settings/model.env ]; do
    if [ -e /settings/problems ]; then
        cat /settings/problems >&2
        exit 1
    fi
    if [ "$waited" -ge 120 ]; then
        echo "nitrogen-export: the services preflight and settings do not run: start the whole stack, docker compose up" >&2
        exit 1
    fi
    waited=$((waited + 1))
    sleep 0.5
done
while IFS='=' read -r name value; do
    if [ -n "$value" ]; then export "$name=$value"; fi
done </settings/model.env
exec nitrogen-export "$@"
