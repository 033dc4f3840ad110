"""The wire: topics, messages, codec, states, signatures. Pure: no clock, no socket, no database."""
