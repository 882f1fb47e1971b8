"""Port 8080: health and metrics."""
