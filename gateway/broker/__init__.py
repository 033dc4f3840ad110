"""The broker: which one to use, and the embedded one as a process."""
