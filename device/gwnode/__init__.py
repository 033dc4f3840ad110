"""The node: says hello until it is heard, beats, and takes configs that it can always take back."""

import gc

VERSION = "1.0.0"

# MicroPython never moves what it has placed, and otherwise collects only when its heap is full, by when
# the modules imported below lie all over it. Collecting early leaves one large free piece.
if hasattr(gc, "threshold"):
    gc.threshold(8192)  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
