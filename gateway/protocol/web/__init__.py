"""The web port's WebSocket messages: to requests, and from replies, without a socket."""
