"""The link to the broker. `client.py` is the only file that knows paho."""
