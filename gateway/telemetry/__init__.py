"""The view from outside: logs, metrics, health pages, recordings."""
