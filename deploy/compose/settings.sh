#!/bin/sh
# Lays its environment where the export reads it, again whenever a start of the stack has removed it.
set -eu
while :; do
    if [ ! -e /settings/model.env ]; then
        env | grep '^NITROGEN_' >/settings/model.env.new
        mv /settings/model.env.new /settings/model.env
    fi
    sleep 0.5
done
