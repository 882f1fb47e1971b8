"""The web port's formats: WebSocket messages to requests and replies to messages, without sockets."""
