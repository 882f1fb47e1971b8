"""Port 5556: JSON lines with image bytes, and BizHawk's sockets."""
