"""The gateway's ports for players, in the order in which messages list them."""

from gateway.ports.port import Port
from gateway.ports.tcp.server import TcpServer
from gateway.ports.web.server import WebServer
from gateway.ports.zmq.server import ZmqServer

PORTS = (
    Port("zmq", "Python: ZeroMQ, msgpack or pickle", "ZMQ Server running on port {}", ZmqServer),
    Port(
        "tcp",
        "BizHawk and other languages: TCP, a JSON line and image bytes",
        "Simple TCP Server (JSON+Bytes) running on port {}",
        TcpServer,
    ),
    Port(
        "web",
        "browsers: a page that plays; openpi's clients: WebSocket",
        "Web server (page, WebSocket) running on port {}",
        WebServer,
    ),
)
