#!/bin/sh
# Runs as root, with no capability but CHOWN, before the export: the folders that it writes to become its own.
set -eu
owner="${NITROGEN_UID:-1000}:${NITROGEN_GID:-1000}"
# The settings of an earlier start are nobody's any more; the service `settings` lays its own there.
chown 0:0 /settings
rm -f /settings/model.env
# The stack's own volumes, with what another user may have left there.
chown -R "$owner" /repository /keys /settings /recordings
# The operator's folder: only one that nobody has used yet, as Docker makes it when it is missing.
if [ "$(stat -c %u:%g /models)" = 0:0 ] && [ -z "$(ls -A /models)" ]; then
    chown "$owner" /models
fi
