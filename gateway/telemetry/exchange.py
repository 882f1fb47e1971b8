"""What a recording holds of one predict."""

from dataclasses import dataclass

from gateway.protocol.messages import Reply, Request


@dataclass(frozen=True, slots=True)
class Exchange:
    """One predict: what came in, what the model saw, what went out.

    `began`: seconds since the epoch, when its last byte came. `port`: its name. `client`: the address
    or identity, safe to print. `request_id`: the one in logs and at Triton. `frame`: (256, 256, 3) uint8
    bytes, None when the image could not be used. `total_s`: seconds from its last byte to its reply.
    """

    began: float
    port: str
    client: str
    request_id: str
    request: Request
    frame: bytes | None
    reply: Reply
    total_s: float
