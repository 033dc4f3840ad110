"""One module for each table of docs/figures.md; each has a `run(options)` that prints it."""
