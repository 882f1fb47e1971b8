"""What export, gateway and standalone all need to know; free of torch, sockets and asyncio."""
