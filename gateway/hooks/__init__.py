"""How one hook of one plugin is run: its thread, its time, its `tx`, and the breaker behind it."""
