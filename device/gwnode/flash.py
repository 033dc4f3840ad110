"""Two slots and a boot record, each written twice in turn: a torn write leaves the other one."""
# A file is: magic, sequence, length, CRC32, content. Of two files the valid one with the higher
# sequence counts. Writes go to the other one, are synced and read back. No rename: on FAT that is a
# window without a file. An unchanged content is not written.

import binascii
import os
import struct

_HEAD = "<4sIII"
_SIZE = struct.calcsize(_HEAD)
_MAGIC = b"HG01"


def _crc(sequence, content):
    return binascii.crc32(content, binascii.crc32(struct.pack("<I", sequence))) & 0xFFFFFFFF


def read(path):
    """(sequence, content) of a file, None where it is not whole."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    if len(data) < _SIZE:
        return None
    magic, sequence, length, crc = struct.unpack(_HEAD, data[:_SIZE])
    content = data[_SIZE : _SIZE + length]
    if magic != _MAGIC or len(content) != length or crc != _crc(sequence, content):
        return None
    return sequence, content


def write(path, sequence, content):
    """Write, sync, read back. Raises OSError where the file is not what was written."""
    head = struct.pack(_HEAD, _MAGIC, sequence, len(content), _crc(sequence, content))
    with open(path, "wb") as file:
        file.write(head + content)
        file.flush()
        if hasattr(os, "fsync") and hasattr(file, "fileno"):
            os.fsync(file.fileno())
    if hasattr(os, "sync"):
        os.sync()
    if read(path) != (sequence, content):
        raise OSError(5, "read back differs")


class Pair:
    """Two files that take turns."""

    def __init__(self, folder, name):
        self._paths = (folder + "/" + name + ".a", folder + "/" + name + ".b")

    def newest(self):
        """(which, sequence, content) of the valid one with the higher sequence, None for none."""
        best = None
        for which, path in enumerate(self._paths):
            found = read(path)
            if found and (best is None or found[0] > best[1]):
                best = (which, found[0], found[1])
        return best

    def both(self):
        """(sequence, content) of each valid one."""
        return [found for found in (read(path) for path in self._paths) if found]

    def put(self, content, sequence=None, keep=None):
        """Write to the file that is not the newest, or not the one with the sequence `keep`."""
        newest = self.newest()
        if sequence is None and newest and newest[2] == content:
            return
        which = 0 if newest is None else 1 - newest[0]
        if keep is not None:
            which = 0
            for number, path in enumerate(self._paths):
                found = read(path)
                if found and found[0] == keep:
                    which = 1 - number
        number = sequence if sequence is not None else (newest[1] + 1 if newest else 1)
        write(self._paths[which], number, content)
