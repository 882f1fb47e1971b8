#!/bin/sh
# Runs as root, with no capability but CHOWN, before everything else: it lays out the configuration of the images that
# are not built here, and gives the folders that export and gateway write to their user. If it cannot give one away,
# it goes on: whoever cannot write there says so.
set -eu
user="${NITROGEN_UID:-1000}"
owner="$user:${NITROGEN_GID:-1000}"

if ! diff -rq /usr/local/share/nitrogen /configuration >/dev/null; then
    rm -rf /configuration/*
    cp -R /usr/local/share/nitrogen/. /configuration/
fi

# The settings of an earlier start are nobody's any more; the service `settings` lays its own there.
chown 0:0 /settings
rm -f /settings/*
# For `preflight`: the ports of these are in use, and rightly so.
for service in gateway triton; do
    if getent hosts "$service" >/dev/null; then echo "$service"; fi
done >/settings/running

# Files that another user may have left in the stack's own volumes. Without its capabilities root enters no closed folder but
# its own, so those of others are root's for a moment. `lost+found` is the file system's.
foreign="( ! -uid $user -o ! -gid ${owner#*:} )"
for volume in /repository /keys /settings /gateway-settings /recordings; do
    # shellcheck disable=SC2086 # words for find
    find "$volume" -name lost+found -prune -o $foreign -type d -exec chown 0:0 {} \; 2>/dev/null || true
    # shellcheck disable=SC2086
    find "$volume" -depth ! -name lost+found $foreign -exec chown -h "$owner" {} + 2>/dev/null || true
    if [ "$(stat -c %u "$volume")" != "$user" ]; then
        echo "prepare: $volume cannot be given to user $user: it stays user $(stat -c %u "$volume")'s" >&2
    fi
done

# The operator's folders: only ones that nobody has used yet, as Docker makes them when they are missing.
for folder in /models /secrets; do
    if [ "$(stat -c %u:%g "$folder")" = 0:0 ] && [ -z "$(ls -A "$folder")" ] && ! chown "$owner" "$folder" 2>/dev/null; then
        echo "prepare: the folder of $folder cannot be given to user $user, who may not be able to write there" >&2
    fi
done
