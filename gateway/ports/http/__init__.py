"""Port 8080: health, metrics, and the live page."""
