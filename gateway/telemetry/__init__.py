"""The operators' view: logs, metrics, the live page, recordings."""
