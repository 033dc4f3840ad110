# The power cuts again, on MicroPython's own littlefs and FAT: a block device in memory that dies in the
# middle of a write and stays dead. `micropython cuts_driver.py lfs2|fat` says how many cuts were played.

import sys

import tape
import vfs
from gwnode.storage import Storage

EIO = 5


class Disk:
    """A block device; a write costs one unit (whole), and half of it may happen on flash."""

    def __init__(self, image, block, left=None):
        self.data = bytearray(image)
        self.block = block
        self.left = left
        self.dead = False
        self.torn = 0
        self.writes = 0
        self.erases = 0
        self.unreadable = -1

    def readblocks(self, number, buf, offset=0):
        if number == self.unreadable:
            return -EIO
        # a loop, because the collector's finalisers come here with the heap locked
        at = number * self.block + offset
        data = self.data
        for i in range(len(buf)):
            buf[i] = data[at + i]
        return 0

    def _spend(self):
        # how much of it still happens, in halves
        self.writes += 1
        if self.left is not None and self.writes > self.left:
            self.dead = True
            return self.torn
        return 2

    def _end(self):
        if self.dead:
            return -EIO  # nothing new is made here: the collector closes what was open
        return 0

    def writeblocks(self, number, buf, offset=0):
        if self.dead:
            return -EIO  # nothing new is made here: the collector closes what was open
        size = len(buf) * self._spend() // 2
        at = number * self.block + offset
        self.data[at : at + size] = memoryview(buf)[:size]
        return -EIO if self.dead else 0

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.data) // self.block
        if op == 5:
            return self.block
        if op == 6 and self.dead:
            return -EIO
        if op == 6:
            size = self.block * self._spend() // 2
            at = arg * self.block
            self.data[at : at + size] = b"\xff" * size
            self.erases += 1
            return -EIO if self.dead else 0
        return 0


class Kind:
    """A file system as a board mounts it."""

    def __init__(self, name):
        self.fat = name == "fat"
        self.block, self.blocks = (512, 256) if self.fat else (4096, 24)

    def make(self, disk):
        vfs.VfsFat.mkfs(disk) if self.fat else vfs.VfsLfs2.mkfs(disk)

    def mount(self, disk):
        vfs.mount(vfs.VfsFat(disk) if self.fat else vfs.VfsLfs2(disk), "/ram")


def run(kind, image, left, torn, work):
    """Mount, work, and leave the disk as it is then."""
    disk = Disk(image, kind.block, left)
    disk.torn = torn
    kind.mount(disk)
    try:
        work(Storage("/ram"), disk)
    except OSError:
        if not disk.dead:
            raise
    vfs.umount("/ram")
    return disk


def boot(kind, image, base):
    found = []
    run(kind, image, None, 0, lambda storage, _: found.append(storage.load(base)))
    return found[0]


class Scenario:
    """What is played, and what may be found behind it."""

    def __init__(self, kind, wanted):
        self.kind = kind
        node = tape.aged(2)
        past, self.base = node.cut_here(), tape.base(node)
        wanted(node)
        self.writes = node.cut_here()
        disk = Disk(b"\xff" * (kind.block * kind.blocks), kind.block)
        kind.make(disk)
        self.image = self.played(disk.data, past)[0].data
        self.states = []
        for number in range(len(self.writes) + 1):
            disk = self.played(self.image, self.writes[:number])[0]
            self.states.append(tape.seen(boot(kind, disk.data, self.base)))
        self.disk = disk

    def played(self, image, writes, left=None, torn=0):
        done = []

        def work(storage, disk):
            tape.play(storage, writes, self.base, done, lambda: disk.dead)

        return run(self.kind, image, left, torn, work), len(done)

    def cut(self, left, torn):
        """Cut there, look, and go on."""
        disk, done = self.played(self.image, self.writes, left, torn)
        store = boot(self.kind, disk.data, self.base)
        assert tape.seen(store) in self.states[done : done + 2], (left, done, self.states)
        tape.whole(store)
        proved = []
        run(self.kind, disk.data, None, 0, lambda s, _: proved.append(tape.recover(s, self.base)))
        tape.whole(proved[0])


def scenario(kind, wanted):
    """All single cuts of one scenario."""
    one, cuts = Scenario(kind, wanted), 0
    for torn in (0,) if kind.fat else (0, 1):
        for left in range(one.disk.writes):
            one.cut(left, torn)
            cuts += 1
    print("cuts", wanted.__name__, cuts, "writes", one.disk.writes, "erases", one.disk.erases)


def unreadable(kind):
    """The block with the proved document answers EIO: the config before it runs, and it is told."""
    node = tape.aged(2)
    past, base = node.cut_here(), tape.base(node)
    disk = Disk(b"\xff" * (kind.block * kind.blocks), kind.block)
    kind.make(disk)
    disk = run(kind, disk.data, None, 0, lambda s, _: tape.play(s, past, base, []))
    disk = Disk(disk.data, kind.block)
    kind.mount(disk)
    disk.unreadable = bytes(disk.data).find(b"c2_3") // kind.block
    storage = Storage("/ram")
    assert storage.load(base).good.revision == 1
    (trouble,) = storage.troubles
    assert trouble.split()[:2] in (["slot.a", "unreadable:"], ["slot.b", "unreadable:"]), trouble
    vfs.umount("/ram")
    print("unreadable", trouble)


if __name__ == "__main__":
    for one in tape.SCENARIOS:
        scenario(Kind(sys.argv[1]), one)
    unreadable(Kind(sys.argv[1]))
