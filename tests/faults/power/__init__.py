"""What a power cut, a failing disk and a flipped bit leave of the store, tried one by one.

- `plan.py`    what a gateway does to its store, decided by a seed
- `child.py`   the process that does it, through the gateway's own writer
- `trace.py`   its system calls, recorded by strace
- `disk.py`    a disk that has kept only what was synced
- `truth.py`   what the store has to hold after each operation, and whether one does
- `replay.py`  a power cut behind every system call
- `sweep.py`   an error from every system call
- `swept.py`   how far that is, in a file
- `ext4.py`    a real file system that is shut down under the gateway
- `flips.py`   single bits that rot
- `soak.py`    all of it for as long as you like: `make soak`
"""
