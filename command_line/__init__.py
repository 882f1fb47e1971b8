"""What the command lines of export, gateway and standalone have in common; needs no packages."""
