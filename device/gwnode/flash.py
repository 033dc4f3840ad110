"""Files that are written in pairs, each in turn: a torn write leaves the other one."""
# A file is: magic, sequence, length, CRC32, content. Of two files the valid one with the higher
# sequence counts. Writes go to the other one, are synced and read back. No rename: on FAT that is a
# window without a file. An unchanged content is not written. Nothing here holds a content twice:
# what is only looked at is read in pieces.

import binascii
import os
import struct

from . import const

_HEAD = const("<4sIII")
_SIZE = struct.calcsize(_HEAD)
_MAGIC = const(b"HG01")
_PIECE = const(256)
_NOT_THERE = const(2)  # ENOENT


def _crc(sequence):
    return binascii.crc32(struct.pack("<I", sequence)) & 0xFFFFFFFF


def look(path):
    """(sequence, CRC, why): what a file is, without its content. The sequence is None where it is not
    whole, and then `why` says what is wrong; both are None for a file that is not there."""
    try:
        with open(path, "rb") as file:
            head = file.read(_SIZE)
            if len(head) < _SIZE:
                return None, 0, "torn"
            magic, sequence, length, wanted = struct.unpack(_HEAD, head)
            crc = _crc(sequence)
            while length:
                piece = file.read(min(length, _PIECE))
                if not piece:
                    return None, 0, "torn"
                crc = binascii.crc32(piece, crc) & 0xFFFFFFFF
                length -= len(piece)
    except OSError as error:
        return None, 0, None if error.errno == _NOT_THERE else "unreadable: %s" % error
    if magic != _MAGIC or crc != wanted:
        return None, 0, "damaged"
    return sequence, crc, None


def read(path):
    """(sequence, content) of a file, None where it is not whole."""
    sequence = look(path)[0]
    if sequence is None:
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(_SIZE)
            content = file.read(struct.unpack(_HEAD, head)[2])
    except OSError:
        return None
    return sequence, content


def write(path, sequence, *pieces):
    """Write, sync, read back. Raises OSError where the file is not what was written."""
    crc = _crc(sequence)
    for piece in pieces:
        crc = binascii.crc32(piece, crc) & 0xFFFFFFFF
    with open(path, "wb") as file:
        file.write(struct.pack(_HEAD, _MAGIC, sequence, sum([len(p) for p in pieces]), crc))
        for piece in pieces:
            file.write(piece)
        file.flush()
        if hasattr(os, "fsync") and hasattr(file, "fileno"):
            os.fsync(file.fileno())
    if hasattr(os, "sync"):
        os.sync()
    if look(path) != (sequence, crc, None):
        raise OSError(5, "read back differs")


class Pair:
    """Two files that take turns."""

    def __init__(self, folder, name):
        self._paths = (folder + "/" + name + ".a", folder + "/" + name + ".b")

    def wrong(self):
        """What is wrong with which file, as texts; nothing for one that is not there."""
        found = [(path, look(path)[2]) for path in self._paths]
        return ["%s %s" % (path.split("/")[-1], why) for path, why in found if why]

    def newest(self):
        """(sequence, content) of the valid one with the higher sequence, None for none."""
        which, sequence = self._newest()
        return read(self._paths[which]) if sequence else None

    def both(self):
        """(sequence, content) of each valid one."""
        found = [read(path) for path in self._paths]
        return [one for one in found if one]

    def put(self, content):
        """Write to the file that is not the newest; nothing where that has this content already."""
        which, sequence = self._newest()
        if not sequence or read(self._paths[which]) != (sequence, content):
            write(self._paths[1 - which], sequence + 1, content)

    def put_as(self, sequence, pieces, keep):
        """Write them as this sequence to the file that has not the sequence `keep`."""
        kept = look(self._paths[0])[0] == keep
        write(self._paths[1 if kept else 0], sequence, *pieces)

    def _newest(self):
        # which one, and its sequence; 0 where neither is whole
        first, second = [look(path)[0] or 0 for path in self._paths]
        return (0, first) if first > second else (1, second)
