"""Port 5557: the play page, and WebSockets in the browser's format and in openpi's."""
