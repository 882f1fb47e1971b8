"""What the web port's WebSockets carry: messages to requests, and replies to messages, without a socket."""
