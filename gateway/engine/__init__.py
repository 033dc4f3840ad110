"""The composition root: the store is opened, each object is built once, started and stopped in order."""
