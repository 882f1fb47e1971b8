#!/bin/sh
# Makes the key of Triton's restricted protocols, once, then publishes the model that the service `settings`
# describes. Flags: nitrogen-export's.
set -eu
key=/keys/triton
if [ ! -s "$key" ]; then
    # Written whole or not at all, even if this is killed here.
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
        echo "nitrogen-export: the services preflight, gateway-settings and settings have not all run: start the whole stack, docker compose up" >&2
        exit 1
    fi
    waited=$((waited + 1))
    sleep 0.5
done
while IFS='=' read -r name value; do
    if [ -n "$value" ]; then export "$name=$value"; fi
done </settings/model.env
token=/run/secrets/hub-token
if [ ! -r "$token" ]; then
    echo "nitrogen-export: user $(id -u) cannot read the file that HF_TOKEN_FILE names: chown it to that user" >&2
    exit 1
fi
if [ -n "${HF_TOKEN_VARIABLE:-}" ] && [ ! -s "$token" ]; then
    echo "nitrogen-export: HF_TOKEN is not used, because docker inspect would show it: write the token to a file," \
        "and name it as HF_TOKEN_FILE in .env" >&2
fi
exec nitrogen-export "$@"
