"""The gateway's ports: a folder for each, and the parts that they share."""
