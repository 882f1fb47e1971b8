"""ZMTP 3 and 2.0 (ZeroMQ's RFC 23, 37, 15), the server's side, without sockets: port 5555's protocol.

`stream` turns bytes into messages, `null` and `curve` are the two handshakes, `frames` has the wire format of
both.
"""
