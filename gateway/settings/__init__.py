"""gateway.toml and friends: what may be set, where each value comes from, and what is wrong with it."""
