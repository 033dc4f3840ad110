"""Plugins as objects: found, checked, and ready to be called."""
