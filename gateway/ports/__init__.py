"""The gateway's ports: a folder for each, and what all of them need."""
