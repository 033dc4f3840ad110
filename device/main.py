"""What the board runs at power-on. Settings are in node.json beside it; see README.md."""

import sys

# on a PC: main.py --dir FOLDER
folder = sys.argv[2] if len(sys.argv) > 2 and sys.argv[1] == "--dir" else "/"
if sys.implementation.name != "micropython":
    import os

    sys.path.insert(0, os.environ.get("UMQTT_DIR", ".cache/umqtt"))
    from gwnode import pc

    pc.begin()

from gwnode import run  # noqa: E402 - the path comes first

run.main(folder)
