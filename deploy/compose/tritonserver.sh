#!/bin/sh
# Takes the place of the NGC container's server, with the same flags.
exec python -m standalone.triton_container "$@"
