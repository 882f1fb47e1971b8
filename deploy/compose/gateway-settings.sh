#!/bin/sh
# Hands the gateway its settings, which are this container's variables, when a gateway could start with them.
set -eu
file=/gateway-settings/gateway.env
nitrogen-gateway settings
env | grep '^NITROGEN_' | sort >"$file.new"
if cmp -s "$file.new" "$file"; then
    rm "$file.new"
else
    mv "$file.new" "$file"
fi
