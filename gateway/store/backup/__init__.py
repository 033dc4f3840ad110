"""Copies of the store, and the ways back to one: made, looked over, put back, gone back to after damage.

- `plan.py`     what goes into a copy
- `archive.py`  one zip file: made, listed, read
- `redact.py`   a copy for somebody else's eyes
- `restore.py`  looked over, and put back by hand
- `health.py`   a damaged store, gone back from by itself
"""
