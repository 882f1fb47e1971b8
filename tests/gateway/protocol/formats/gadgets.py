"""Known ways to make Python run code while it unpickles.

The live ones leave a file in the working directory when Python's own `pickle.loads` reads them. The others
need another system, another library's version or a network, or are the first link of a chain.
"""

import marshal
import os
import pickle
import pty
import shutil
import struct
import subprocess
import timeit

from tests.gateway.protocol.formats.pickle_parts import (
    IMAGE,
    Reduced,
    call,
    dtype,
    image,
    named,
    reduced,
    text,
)

MARKER = "gadget-was-here"
TOUCH = f"touch {MARKER}"
MAKE = f"open({MARKER!r}, 'w').close()"
CODE = compile(MAKE, "gadget", "exec")

LIVE = {
    "os.system": b"\x80\x04" + call("os", "system", text(TOUCH)),
    "posix.system": reduced(os.system, TOUCH),
    "os.popen": call("os", "popen", text(TOUCH)),
    "os.open": reduced(os.open, MARKER, os.O_CREAT),
    "subprocess.Popen": reduced(subprocess.check_call, ["touch", MARKER]),
    "builtins.eval": reduced(eval, MAKE),
    "builtins.exec": pickle.dumps(Reduced(exec, MAKE), 2),
    "builtins.open": reduced(open, MARKER, "w"),
    "Python 2's name of eval": b"c__builtin__\neval\n(V" + MAKE.encode() + b"\ntR.",
    "timeit.timeit": reduced(timeit.timeit, MAKE, "pass", timeit.default_timer, 1),
    "pty.spawn": reduced(pty.spawn, ["touch", MARKER]),
    "shutil.copyfile": reduced(shutil.copyfile, "/dev/null", MARKER),
    "functools.partial": b"cfunctools\npartial\n(cos\nsystem\n" + text(TOUCH) + b"tR)R.",
    "operator.methodcaller": b"coperator\nmethodcaller\n("
    + text("system")
    + text(TOUCH)
    + b"tR(cimportlib\nimport_module\n("
    + text("os")
    + b"tRtR.",
    "operator.attrgetter and import_module": b"coperator\nattrgetter\n("
    + text("system")
    + b"tR(cimportlib\nimport_module\n("
    + text("os")
    + b"tRtR("
    + text(TOUCH)
    + b"tR.",
    "builtins.getattr and __import__": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n("
    + text("os")
    + b"tR"
    + text("system")
    + b"tR("
    + text(TOUCH)
    + b"tR.",
    "types.FunctionType of marshalled code": b"ctypes\nFunctionType\n(cmarshal\nloads\n("
    + b"B"
    + struct.pack("<I", len(marshal.dumps(CODE)))
    + marshal.dumps(CODE)
    + b"tR(cbuiltins\nglobals\n)Rt0cbuiltins\nglobals\n)RtR)R.",
    "a pickle within a pickle": reduced(pickle.loads, reduced(os.system, TOUCH)),
    "map and list": b"cbuiltins\nlist\n(cbuiltins\nmap\n(cos\nsystem\n(" + text(TOUCH) + b"ltRtR.",
    "as a dict's key": pickle.dumps({Reduced(os.system, TOUCH): 1}, 4),
    "hidden in a list that is dropped": b"(" + call("os", "system", text(TOUCH))[:-1] + b"10N.",
    "a class that is called by OBJ": b"(csubprocess\nPopen\n" + text(TOUCH) + b"NNNNNNK\x01K\x01o0N.",
    "a class that is called by INST": b"(]"
    + text("touch")
    + b"a"
    + text(MARKER)
    + b"aisubprocess\nPopen\n0N.",
    "NEWOBJ_EX with keywords": b"cfunctools\npartial\n(cos\nsystem\nt}"
    + text("command")
    + text(TOUCH)
    + b"s\x92)R.",
    "protocol 4's dotted name": b"\x80\x04"
    + text("os")
    + text("path.os.system")
    + b"\x93("
    + text(TOUCH)
    + b"tR.",
    "numpy.save": call("numpy", "save", text(MARKER), b"K\x01"),
    "numpy.memmap": call("numpy", "memmap", text(MARKER), text("uint8"), text("w+"), b"K\x00", b"K\x04"),
    "numpy.ndarray.tofile by a dotted name": b"\x80\x04"
    + text("numpy")
    + text("ndarray.tofile")
    + b"\x93(cnumpy\narange\n(K\x02tR"
    + text(MARKER)
    + b"tR.",
    "numpy.testing's runstring": call("numpy.testing._private.utils", "runstring", text(MAKE), b"}"),
    "numpy.f2py's os": b"\x80\x04"
    + text("numpy.f2py.crackfortran")
    + text("os.system")
    + b"\x93("
    + text(TOUCH)
    + b"tR.",
    "numpy.lib.npyio's os": b"\x80\x04"
    + text("numpy.lib._npyio_impl")
    + text("os.system")
    + b"\x93("
    + text(TOUCH)
    + b"tR.",
    "copyreg.__newobj__": b"ccopyreg\n__newobj__\n(csubprocess\nPopen\ntR0"
    + call("os", "system", text(TOUCH)),
    "BUILD that replaces a method": b"cargparse\nNamespace\n)\x81}"
    + text("run")
    + b"cos\nsystem\nsb0"
    + call("os", "system", text(TOUCH)),
}

# Its memo has a name at 7, what the name makes at 8, and a set at 9.
_IMAGE_WITH_INFO = (
    IMAGE
    + b"](}"
    + text("x")
    + named("os", "system")
    + b"q\x07"
    + b"("
    + text("true")
    + b"tRq\x08s"
    + text("y")
    + b"\x8f(K\x01\x90q\x09s"
    + text("L")
    + b"K\x01K\x01\x86NC\x01aeb"
)

REFUSED = {
    "nt.system": call("nt", "system", text(TOUCH)),
    # The first links of chains, and other systems.
    "builtins.compile": call("builtins", "compile", text(MAKE), text("x"), text("exec")),
    "builtins.getattr": call("builtins", "getattr", text(""), text("join")),
    "builtins.__import__": call("builtins", "__import__", text("os")),
    "importlib.import_module": call("importlib", "import_module", text("os")),
    "runpy.run_path": call("runpy", "run_path", text("/etc/passwd")),
    "marshal.loads": reduced(marshal.loads, marshal.dumps(CODE)),
    "types.CodeType": named("types", "CodeType") + b".",
    "types.FunctionType": named("types", "FunctionType") + b".",
    "webbrowser.open": call("webbrowser", "open", text("http://127.0.0.1:1/")),
    "socket.create_connection": call("socket", "create_connection", text("127.0.0.1")),
    "urllib.request.urlopen": call("urllib.request", "urlopen", text("http://127.0.0.1:1/")),
    "ctypes.CDLL": call("ctypes", "CDLL", text("libc.so.6")),
    "operator.attrgetter": call("operator", "attrgetter", text("__class__.__base__")),
    "logging.config.listen": call("logging.config", "listen"),
    "sys.modules": named("sys", "modules") + b".",
    "asyncio's subprocess": b"\x80\x04"
    + text("asyncio")
    + text("unix_events._UnixSubprocessTransport._start")
    + b"\x93.",
    # numpy reads files and loads libraries.
    "numpy.fromfile": call("numpy", "fromfile", text("/etc/passwd")),
    "numpy.load": call("numpy", "load", text("/etc/passwd"), b"\x88\x88"),
    "numpy.loadtxt": call("numpy", "loadtxt", text("/etc/passwd")),
    "numpy.genfromtxt": call("numpy", "genfromtxt", text("http://127.0.0.1:1/")),
    "numpy.ctypeslib.load_library": call("numpy.ctypeslib", "load_library", text("libc"), text(".")),
    "numpy.ctypeslib by a dotted name": b"\x80\x04"
    + text("numpy")
    + text("ctypeslib.load_library")
    + b"\x93.",
    "numpy's core by a dotted name": b"\x80\x04"
    + text("numpy")
    + text("core.multiarray._reconstruct")
    + b"\x93.",
    "numpy.f2py.compile": call("numpy.f2py", "compile", text("x")),
    "numpy.distutils.exec_command": call("numpy.distutils.exec_command", "exec_command", text(TOUCH)),
    "numpy's own pickled ufunc": b"cnumpy.core\n_ufunc_reconstruct\n(" + text("os") + text("system") + b"tR.",
    "numpy.ndarray called": b"cnumpy\nndarray\nK\x01\x85R.",
    "numpy.ndarray made": b"cnumpy\nndarray\n)\x81.",
    "numpy.dtype with metadata built twice": dtype("u1") + b"(K\x03" + text("|") + b"NNNK\x01K\x01K\x00tb.",
    "_reconstruct of a subclass": call(
        "numpy.core.multiarray", "_reconstruct", named("numpy", "memmap"), b"K\x00\x85C\x01b"
    ),
    "_reconstruct of a PIL class": call(
        "numpy.core.multiarray", "_reconstruct", named("PIL.Image", "Image"), b"K\x00\x85C\x01b"
    ),
    "_codecs.encode by another codec": call("_codecs", "encode", text("abc"), text("zip")),
    "_codecs.decode": b"c_codecs\ndecode\n(C\x03abc" + text("zlib") + b"tR.",
    "codecs.open": call("codecs", "open", text(MARKER), text("w")),
    # PIL opens files and has plug-ins that run programs.
    "PIL.Image.open": call("PIL.Image", "open", text("/etc/passwd")),
    "PIL.ImageMath": call("PIL.ImageMath", "unsafe_eval", text(MAKE)),
    "PIL's Ghostscript plug-in": b"cPIL.EpsImagePlugin\nEpsImageFile\n)\x81.",
    "PIL class called": b"cPIL.Image\nImage\n)R.",
    "PIL class with arguments": b"cPIL.Image\nImage\nK\x01\x85\x81.",
    "BUILD that poisons the PIL stand-in": b"cPIL.Image\nImage\n}" + text("tobytes") + b"K\x01sb.",
    "BUILD of an image twice": image(text("L"), b"K\x01K\x01\x86", b"N", b"C\x01a")[:-1]
    + b"](}"
    + text("L")
    + b"K\x01K\x01\x86NC\x01aeb.",
    "BUILD on a function": b"cnumpy\ndtype\n}" + text("name") + b"K\x01sb.",
    "BUILD on a dict": b"}}b.",
    # An image's info holds anything; nothing of it is found elsewhere.
    "a name as an image's mode": image(named("os", "system"), b"K\x01K\x01\x86", b"N", b"C\x01a"),
    "a name as an image's size": image(text("L"), named("os", "system"), b"N", b"C\x01a"),
    "a name as an image's palette": image(text("P"), b"K\x01K\x01\x86", named("os", "system"), b"C\x01a"),
    "a call as an image's data": image(
        text("L"), b"K\x01K\x01\x86", b"N", call("os", "system", text(TOUCH))[:-1]
    ),
    "a name after an image's data": image(
        text("L"), b"K\x01K\x01\x86", b"N", b"C\x01a" + named("os", "system")
    ),
    "a name in a list after an image's data": image(
        text("L"), b"K\x01K\x01\x86", b"N", b"C\x01a](" + named("os", "system") + b"e"
    ),
    "a name in a list as an image's palette": image(
        text("L"), b"K\x01K\x01\x86", b"](" + named("os", "system") + b"e", b"C\x01a"
    ),
    "a set as an image's palette": image(text("L"), b"K\x01K\x01\x86", b"\x8f", b"C\x01a"),
    "a name in an image's state that is thrown away": image(
        text("L"), b"K\x01K\x01\x86" + named("os", "system") + b"0", b"N", b"C\x01a"
    ),
    "a name that comes back from an image's info": _IMAGE_WITH_INFO + b"h\x07(" + text(TOUCH) + b"tR.",
    "what was made in an image's info, called": _IMAGE_WITH_INFO + b"h\x08(" + text(TOUCH) + b"tR.",
    "what was made in an image's info, built": _IMAGE_WITH_INFO + b"h\x08}b.",
    "what was made in an image's info, as an item": _IMAGE_WITH_INFO + b"0}" + text("x") + b"h\x08s.",
    "a set that comes back from an image's info": _IMAGE_WITH_INFO + b"0h\x09.",
    # copyreg.
    "copyreg's reconstructor of an image": call(
        "copyreg", "_reconstructor", named("PIL.Image", "Image"), named("builtins", "object"), b"N"
    ),
    "copyreg._reconstructor": call("copyreg", "_reconstructor", b"cio\nFileIO\ncbuiltins\nobject\nN"),
    "copyreg.__newobj_ex__": b"ccopyreg\n__newobj_ex__\n(cPIL.Image\nImage\n)}tR.",
    "copyreg.add_extension": call("copyreg", "add_extension", text("os"), text("system"), b"K\x01"),
    "copyreg.pickle": call("copyreg", "pickle", b"cbuiltins\nint\n", b"cos\nsystem\n"),
    # Opcodes that Python's own pickles of plain data do not have.
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x00.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "PERSID": b"P1\n.",
    "BINPERSID": b"K\x01Q.",
    "INST": b"(" + text(TOUCH) + b"ios\nsystem\n.",
    "OBJ": b"(cos\nsystem\n" + text(TOUCH) + b"o.",
    "NEWOBJ_EX": b"cPIL.Image\nImage\n)}\x92.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "READONLY_BUFFER": b"\x80\x05C\x01a\x98.",
    "set": pickle.dumps({1, 2}, 4),
    "frozenset": pickle.dumps(frozenset({1}), 4),
    "builtins.set": pickle.dumps({1}, 2),
}
