# A virtual day of one node in a heap of a board's size; the gateway is outside. Prints what is free after
# each hour. `rom` is an image to be mounted, "" where the files lie in MICROPYPATH.

import gc
import json
import os
import select
import sys
import time

ROM, FOLDER, HOURS = sys.argv[1], sys.argv[2], int(sys.argv[3])
if ROM:
    import vfs

    image = bytearray(os.stat(ROM)[6])
    with open(ROM, "rb") as file:
        file.readinto(image)
    vfs.mount(vfs.VfsRom(image), "/rom")
    sys.path.insert(0, "/rom")

from gwnode import log, run  # noqa: E402 - the image comes first

HOUR = 3600000
log.is_quiet = True
run._WAIT_MS = 10000  # nobody looks at a display: what is due is found within that
runner = run.Runner(FOLDER)
node = runner.node


def outstanding():
    """The broker or the gateway owes an answer: no time passes."""
    link = runner.link
    if link is None:
        return False
    asked = node.connected and (
        node.hello_at is not None or node.desired > node.store.running.revision
    )
    return asked or not link.is_open or link.in_flight or link._asked or link._pinged is not None


select.outstanding[0] = outstanding
hour = 0
while hour < HOURS:
    runner.turn()
    if time.elapsed() // HOUR > hour:
        hour += 1
        gc.collect()
        print(json.dumps([gc.mem_free(), node.store.good.revision, node.lost_messages]))
