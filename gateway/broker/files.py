"""Settings for a mosquitto that suits the gateway. Pure; who writes the file is not decided here."""

from __future__ import annotations

from collections.abc import Mapping

QUEUED = 100_000
"""Messages that mosquitto keeps for a gateway that is away; its default of 1,000 loses hellos."""


def mosquitto_conf(
    port: int,
    *,
    address: str = "",
    persistence: str = "",
    password_file: str = "",
    more: Mapping[str, str] | None = None,
) -> str:
    """The text of a mosquitto.conf.

    `persistence` is the folder of its database; empty switches it off. Without a password file
    everybody may connect, which is meant for a broker on the loopback. `more` has further settings,
    which win over ours.
    """
    settings = {
        # two QoS 1 messages in one write would wait 40 ms for the second PUBACK without it
        "set_tcp_nodelay": "true",
        "max_inflight_messages": "1000",
        "max_queued_messages": str(QUEUED),
        "persistence": "true" if persistence else "false",
        "allow_anonymous": "false" if password_file else "true",
    }
    if persistence:
        # every change is on disk within a second; the default waits half an hour
        settings |= {
            "persistence_location": f"{persistence.rstrip('/')}/",
            "autosave_on_changes": "true",
            "autosave_interval": "1",
        }
    if password_file:
        settings["password_file"] = password_file
    listener = f"listener {port} {address}".rstrip()
    lines = [f"{name} {value}" for name, value in {**settings, **(more or {})}.items()]
    return "\n".join(["per_listener_settings false", listener, *lines]) + "\n"
