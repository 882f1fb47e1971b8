"""Pickles that name nothing forbidden, and would be a crash, an overflow or a huge allocation further on."""

import pickle
import struct

import numpy as np

from tests.gateway.protocol.formats.gadgets import LIVE, REFUSED
from tests.gateway.protocol.formats.pickle_parts import C4, IMAGE, U1, array, dtype, image, named, text

CROOKED = {
    "STACK_GLOBAL of numbers": b"K\x01K\x02\x93.",
    "STACK_GLOBAL of a name that is a list": text("os") + b"]\x93.",
    "array of dtype object": pickle.dumps(np.array([None, {}], dtype=object), 4),
    "array of dtype object over bytes": array(b"K\x01\x85", dtype("O8"), b"C\x08abcdefgh"),
    "array whose dtype has a field of objects": pickle.dumps(np.zeros(1, dtype=[("a", "O")]), 4),
    "array of a structured dtype": pickle.dumps(np.zeros(2, dtype=[("a", "u1")]), 4),
    "array of a dtype with a subarray": array(
        b"K\x01\x85", dtype("V4", "|", U1 + b"K\x04\x86NNJ\x04\x00\x00\x00K\x01K\x00"), C4
    ),
    "dtype of huge items": array(b"K\x01\x85", dtype("V2147483647"), C4),
    "dtype text of huge items": array(b"K\x01\x85", dtype("S99999999999999999999"), C4),
    "dtype that is a list of fields": named("numpy", "dtype") + b"]" + text("u1") + b"a\x85R.",
    "dtype with an item size in its state": array(
        b"K\x01\x85", dtype("u1", "|", b"NNNJ\xff\xff\xff\x7fK\x01K\x00") + b"", b"C\x00"
    ),
    "_frombuffer of dtype object": named("numpy.core.numeric", "_frombuffer")
    + b"(C\x08abcdefgh"
    + dtype("O8")
    + b"K\x01\x85"
    + text("C")
    + b"tR.",
    "scalar of dtype object": named("numpy.core.multiarray", "scalar")
    + dtype("O8")
    + b"C\x11cos\nsystem\n(U\x02ltR."
    + b"\x86R.",
    "shape of negative sizes": array(b"J\xfe\xff\xff\xffJ\xfe\xff\xff\xff\x86", U1, C4),
    "shape whose product wraps": array(b"J\x00\x00\x00\x40J\x00\x00\x00\x40K\x10\x87", U1, C4),
    "shape that overflows": array(b"\x8a\x08" + struct.pack("<q", 2**62) + b"K\x04\x86", U1, C4),
    "shape larger than its data": array(b"K\x05\x85", U1, C4),
    "shape of a billion without data": array(
        b"K\x00J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87\x86", U1, b"C\x00"
    ),
    "image of a wrong size": b"}"
    + text("type")
    + text("predict")
    + b"s"
    + text("image")
    + image(text("RGB"), b"K\x02K\x02\x86", b"N", C4)[:-1]
    + b"s.",
    "image of a huge size": b"}"
    + text("type")
    + text("predict")
    + b"s"
    + text("image")
    + image(text("RGB"), b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"N", C4)[:-1]
    + b"s.",
    "image of a negative size": b"}"
    + text("type")
    + text("predict")
    + b"s"
    + text("image")
    + image(text("L"), b"J\xff\xff\xff\xffJ\xfc\xff\xff\xff\x86", b"N", C4)[:-1]
    + b"s.",
    "image whose size is a text": image(text("L"), text("ab"), b"N", C4),
    "image whose palette is another image": image(text("P"), b"K\x01K\x01\x86", IMAGE, b"C\x01a"),
    "BUILD of attributes on an image": IMAGE + b"}" + text("__class__") + b"K\x01sb.",
    "BUILD with slots' state": IMAGE + b"N}" + text("mode") + b"K\x01s\x86b.",
    "image state that ends as a tuple": IMAGE + b"](}" + named("os", "system") + b"tb.",
    "image state that is thrown away": IMAGE + b"](" + named("os", "system") + b"10N.",
    "image state that is not an image's": IMAGE + b"](}" + named("os", "system") + b"e0N.",
    "image state that never ends": IMAGE + b"](" + named("os", "system") + b".",
    "100,000 names in an image's info": IMAGE + b"](}" + named("os", "system") * 100_000 + b"eb.",
    "an image's info, built as another image": IMAGE + b"q\x000" + IMAGE + b"](h\x00](}" + b"eb" * 2 + b".",
    "LONG4 of two billion bytes": b"\x8b\xff\xff\xff\x7f.",
    "LONG4 of negative length": b"\x8b\xff\xff\xff\xff.",
    "integer of a megabyte": pickle.dumps(1 << 2**23, 2),
    "decimal integer of 100 kB": b"L" + b"9" * 100_000 + b"L\n.",
    "BINUNICODE of 4 GB": b"X\xff\xff\xff\xff.",
    "BINUNICODE8 of 2**44 bytes": b"\x8d\x00\x00\x00\x00\x00\x10\x00\x00.",
    "BINBYTES8 of 2**64 - 1 bytes": b"\x8e" + b"\xff" * 8 + b".",
    "BYTEARRAY8 of 2**44 bytes": b"\x96\x00\x00\x00\x00\x00\x10\x00\x00.",
    "FRAME of 2**60 bytes": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "line without end": b"I" + b"1" * 1_000_000,
    "memo index of 2**32 - 1": b"Nr\xff\xff\xff\xff.",
    "9,000 memo indexes far apart": b"N"
    + b"".join(b"r" + struct.pack("<I", 2**32 - i) for i in range(1, 9_000))
    + b".",
    "billion laughs by tuples": b")" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(200)) + b".",
    "billion laughs by lists": b"]" + text("ha") + b"a\x94" + b"(h\x00h\x00l\x94h\x01h\x01l" * 3000 + b".",
    "one text encoded again and again": b"X"
    + struct.pack("<I", 2**20)
    + b"a" * 2**20
    + b"q\x000"
    + text("latin1")
    + b"q\x010"
    + named("_codecs", "encode")
    + b"q\x020"
    + b"h\x02h\x00h\x01\x86R" * 3000
    + b".",
    "list within itself, doubled": b"\x80\x04]\x94" + b"(h\x00h\x00e0" * 5000 + b".",
    "100,000 marks": b"(" * 100_000 + b"t" * 100_000 + b".",
    "a million nested lists": b"](" * 1_000_000,
    "deep tuples as a key": b"})" + b"\x85" * 15_000 + b"K\x01s.",
    "keys that collide": b"}("
    + b"".join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"N" for i in range(9_000))
    + b"u.",
    "a million opcodes": b"N0" * 1_000_000 + b".",
}

ATTACKS = LIVE | REFUSED | CROOKED
