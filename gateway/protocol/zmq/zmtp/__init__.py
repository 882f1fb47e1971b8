"""ZMTP 3 and 2.0 (ZeroMQ's RFC 23, 37, 15), a server's side: what port 5555 speaks; no sockets here.

`stream` turns bytes into messages, `null` and `curve` are the two ways to shake hands, `frames` is the form
in which both travel.
"""
