"""One module for each command of `nitrogen-export`."""
