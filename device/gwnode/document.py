"""A config document: what it leaves as it was, what must not be shown. Pure."""
# Rules of this file. A document that comes here has passed check.py, or is one that passed it once.

from . import const

_SECRETS = const(("node_secret", "claim_key", "password", "pass", "psk"))
PLACES = ("wifi", "mqtt")  # where the node connects


def carries(doc, name):
    """Whether the document itself says what `wifi` or `mqtt` is."""
    given = doc.get(name)
    return bool(given) and given.get("configured") is not True


def overlay(doc, old, brought=PLACES):
    """What the document does not carry, from the config that ran until now (B5). `brought`: which of
    PLACES a config brought; the others are node.json's, and follow it."""
    kept = {}
    for name in brought:
        if not carries(doc, name) and old.get(name):
            kept[name] = old[name]
    if not doc.get("node_secret") and old.get("node_secret"):
        kept["node_secret"] = old["node_secret"]
    new, known = doc.get("calibration") or {}, old.get("calibration") or {}
    calibration = {name: known[name] for name in known if not new.get(name)}
    if calibration:
        kept["calibration"] = calibration
    return kept


def effective(doc, kept, base):
    """The document with what it left as it was, on top of node.json."""
    config = dict(doc)
    for name in PLACES:
        if name in kept or not carries(doc, name):
            config[name] = kept.get(name) or base.get(name)
    if "node_secret" in kept:
        config["node_secret"] = kept["node_secret"]
    if "calibration" in kept:
        both = dict(kept["calibration"])
        both.update({k: v for k, v in (doc.get("calibration") or {}).items() if v})
        config["calibration"] = both
    return config


def redacted(config):
    """What may be shown: no secret, no password; that Wi-Fi is there, not which."""
    shown = dict(_without_secrets(config))  # pyright: ignore[reportCallIssue] - of a dictionary it is one
    if "wifi" in shown:
        shown["wifi"] = {"configured": bool(config["wifi"])}
    mqtt = config.get("mqtt") or {}
    names = ["host", "port", "keepalive", "tls", "use_tls"]
    shown["mqtt"] = {name: mqtt[name] for name in names if name in mqtt} or {"configured": True}
    return shown


def _without_secrets(value):
    # as deep as the scanner allowed
    if isinstance(value, dict):
        return {k: _without_secrets(v) for k, v in value.items() if k not in _SECRETS}
    if isinstance(value, list):
        return [_without_secrets(one) for one in value]
    return value
