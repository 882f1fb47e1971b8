#!/bin/sh
# Lays its environment where the export reads it, again whenever a start of the stack has removed it.
set -eu
while :; do
    if [ ! -e /settings/model.env ]; then
        # Not allowed for a moment while a start of the stack prepares the folder: then the next time.
        if (umask 077 && env | grep -E '^(NITROGEN|HF|HTTPS?|NO|SSL_CERT)_' >/settings/model.env.new) 2>/dev/null; then
            mv /settings/model.env.new /settings/model.env
        fi
    fi
    sleep 0.5
done
