"""ZMTP 3 (ZeroMQ's RFC 23 and 37), a server's side: what ZeroMQ sockets speak on port 5555; no sockets here.

`stream` turns bytes into messages, `null` and `curve` are the two ways to shake hands, `frames` is the form
in which both travel.
"""
