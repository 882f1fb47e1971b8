#!/bin/sh
# Writes its environment where the export reads it, and again whenever a start of the stack has removed it.
set -eu
while :; do
    if [ ! -e /settings/model.env ]; then
        # Fails for a moment while a start of the stack prepares the folder; the next try succeeds.
        if (umask 077 && env | grep -E '^(NITROGEN|HF|HTTPS?|NO|SSL_CERT)_' >/settings/model.env.new) 2>/dev/null; then
            mv /settings/model.env.new /settings/model.env
        fi
    fi
    sleep 0.5
done
