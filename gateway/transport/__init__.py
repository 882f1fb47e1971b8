"""The clients' side: the sockets, who may come in, and the order and the limits of a client's requests."""
