"""The node: says hello until it is heard, beats, and takes configs that it can always take back."""

import gc
import sys

VERSION = "1.0.0"

if sys.implementation.name == "micropython":
    from micropython import const  # its compiler puts the value in where the name stands

    pc = None
    # MicroPython never moves what it has placed, and otherwise collects only when its heap is full, by
    # when the modules imported below lie all over it. Collecting early leaves one large free piece.
    gc.threshold(4096)  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
else:
    from . import pc as pc
    from .pc import const as const


def forget(*names):
    """Modules that are needed once, or seldom, are no more in memory."""
    for name in names:
        sys.modules.pop("gwnode." + name, None)
        globals().pop(name, None)
