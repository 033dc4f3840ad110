"""`gateway node image`: the node in as little memory as it can have, for boards that have little.

- `command.py`  the command
- `build.py`    the files of an image: compiled, as a ROM file system, or to be frozen
- `join.py`     which modules share a file, and the way from the node's files to the image's
- `writer.py`   writes one file; `lookup.py` knows what a name means where it stands
- `shorter.py`  the same statements in fewer bytes; `inline.py` puts functions where they are called, `heirs.py`
  a base class into its only heir; `places.py` knows what may be computed before what
- `names.py`    which names are the node's own, and what they are called in the image; `sharing.py` which of
  them may be the same word
- `sources.py`  the node's files as a program; `onboard.py` what of them a board never runs
- `explain.py`  short names in a traceback, turned back
"""
