#!/bin/sh
# Runs as root, with no capability but CHOWN, before everything else: it copies the configuration of the images that are
# not built here, and gives the user of export and gateway the folders that they write to. If it cannot give one away,
# it continues: the program that cannot write there says so.
set -eu
user="${NITROGEN_UID:-1000}"
owner="$user:${NITROGEN_GID:-1000}"

if ! diff -rq /usr/local/share/nitrogen /configuration >/dev/null; then
    rm -rf /configuration/*
    cp -R /usr/local/share/nitrogen/. /configuration/
fi

# The settings of an earlier start are stale; the service `settings` writes new ones.
chown 0:0 /settings
rm -f /settings/*
# For `preflight`: these services may have their ports in use.
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
        echo "prepare: cannot give $volume to user $user: it still belongs to user $(stat -c %u "$volume")" >&2
    fi
done

# The operator's folders: only ones that nobody has used yet, as Docker makes them when they are missing.
for folder in /models /secrets; do
    if [ "$(stat -c %u:%g "$folder")" = 0:0 ] && [ -z "$(ls -A "$folder")" ] && ! chown "$owner" "$folder" 2>/dev/null; then
        echo "prepare: cannot give the folder of $folder to user $user, who may be unable to write there" >&2
    fi
done
