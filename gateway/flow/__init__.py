"""The way of a message, in reading order: intake, lanes, dispatch, calls, work, outbox.

Everything here runs on the gateway's one loop, except what `calls.py` runs on plugins' threads.
"""
