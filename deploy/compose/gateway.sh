#!/bin/sh
# Runs the gateway with the settings that the service `gateway-settings` has approved. When they change it ends as on
# SIGTERM, and Docker starts it again with the new ones.
set -eu
settings=/gateway-settings/gateway.env
used=/tmp/gateway.env
if ! cp "$settings" "$used" 2>/dev/null; then
    echo "nitrogen-gateway: the service gateway-settings has not run: start the whole stack, docker compose up" >&2
    exit 1
fi
while IFS='=' read -r name value; do
    if [ -n "$value" ]; then export "$name=$value"; fi
done <"$used"
(
    while cmp -s "$settings" "$used"; do sleep 1; done
    echo "the settings have changed: starting again with the new ones" >&2
    kill -TERM $$
) &
exec nitrogen-gateway "$@"
