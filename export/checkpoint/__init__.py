"""A checkpoint: found, read without executing anything in it, and checked against its own configuration."""
