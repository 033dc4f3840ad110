"""The node: says hello until it is heard, beats, and takes configs that it can always take back."""

VERSION = "1.0.0"
