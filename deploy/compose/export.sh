#!/bin/sh
# Makes the key of Triton's restricted protocols, once, then publishes the model. Flags: nitrogen-export's.
set -eu
key=/keys/triton
if [ ! -s "$key" ]; then
    umask 077
    # Whole or not at all, should this be killed here.
    printf 'nitrogen=%s\n' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >"$key.new"
    mv "$key.new" "$key"
fi
exec nitrogen-export "$@"
