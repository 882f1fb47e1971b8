#!/bin/sh
# Stands where the NGC container has its server, and takes the same flags.
exec python -m standalone.triton_container "$@"
