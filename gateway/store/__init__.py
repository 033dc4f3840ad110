"""The only room that knows databases. What is written here is on disk before anybody is told."""
