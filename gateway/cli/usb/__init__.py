"""`gateway node`: the boards on USB.

- `node.py`    the commands
- `deploy.py`  the steps from a bare board to a registered node
- `board.py`   what can be said to a board
- `listen.py`  who only hears it
- `advice.py`  what to do where it does not answer
- `image/`     the node in a small board's form
"""
