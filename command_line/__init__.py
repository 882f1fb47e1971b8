"""The common parts of the command lines of export, gateway and standalone; it needs no packages."""
