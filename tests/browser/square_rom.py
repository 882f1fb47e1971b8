"""A NES program of our own: a white square on blue, which the cross of the pad moves by a pixel a frame."""

_PROGRAM_START = 0xC000
_PROGRAM_BYTES = 0x4000
_SQUARE_BYTES = 16

_START = bytes.fromhex(
    "78 d8 a2 ff 9a"  # no interrupts, no decimals, the stack
    "a9 00 8d 00 20 8d 01 20"  # the picture off
    "2c 02 20 10 fb 2c 02 20 10 fb"  # two frames, until the picture's chip is there
    "a9 3f 8d 06 20 a9 00 8d 06 20 a9 02 8d 07 20"  # the background blue
    "a9 3f 8d 06 20 a9 11 8d 06 20 a9 30 8d 07 20"  # the square white
    "a2 00 a9 ff 9d 00 02 e8 d0 fa"  # all sprites out of sight
    "a9 78 85 00 85 01"  # the square's x and y: 120
    "a9 01 8d 01 02 a9 00 8d 02 02"  # its tile and colours
    "a9 10 8d 01 20"  # sprites on
)
_LOOP = bytes.fromhex(
    "2c 02 20 10 fb"  # until the next frame
    "a5 00 8d 03 02 a5 01 8d 00 02 a9 00 8d 03 20 a9 02 8d 14 40"  # the square to its place
    "a9 01 8d 16 40 a9 00 8d 16 40"  # the pad's buttons, one after the other into a byte
    "a2 08 ad 16 40 4a 26 02 ca d0 f7"
    "a5 02 29 01 f0 02 e6 00"  # right
    "a5 02 29 02 f0 02 c6 00"  # left
    "a5 02 29 04 f0 02 e6 01"  # down
    "a5 02 29 08 f0 02 c6 01"  # up
)


def square_rom() -> bytes:
    """The program as a file."""
    loop = _PROGRAM_START + len(_START)
    return _rom(_START + _LOOP + b"\x4c" + loop.to_bytes(2, "little"))


def crashing_rom() -> bytes:
    """A program that halts the processor after a few frames."""
    return _rom(_START + b"\x02")


def _rom(program: bytes) -> bytes:
    """A program as an iNES file: 16 KiB of program, 8 KiB of pictures, no mapper."""
    vectors = _PROGRAM_START.to_bytes(2, "little") * 3
    padding = bytes(_PROGRAM_BYTES - len(program) - len(vectors))
    pictures = bytes(_SQUARE_BYTES) + b"\xff" * 8 + bytes(8)
    header = b"NES\x1a" + bytes((1, 1)) + bytes(10)
    return header + program + padding + vectors + pictures.ljust(0x2000, b"\0")
