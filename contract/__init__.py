"""The agreements between export, gateway and standalone; free of torch, sockets and asyncio."""
