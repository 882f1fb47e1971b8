#!/bin/sh
# Runs as root, with no capability but CHOWN, before the export: the folders that it writes to become its own.
set -eu
owner="${NITROGEN_UID:-1000}:${NITROGEN_GID:-1000}"
# The stack's own volumes.
chown "$owner" /repository /keys
# The operator's folder: only one that nobody has used yet, as Docker makes it when it is missing.
if [ "$(stat -c %u:%g /models)" = 0:0 ] && [ -z "$(ls -A /models)" ]; then
    chown "$owner" /models
fi
