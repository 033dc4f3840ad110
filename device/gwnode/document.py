"""A config document: what is wrong with it, what it leaves as it was, what must not be shown. Pure."""
# Rules of this file. What problem() lets pass can be used without another look at its types: names
# become topics, mqtt goes to the link, wifi to the radio. Texts and order are those of A6.2.

from .protocol import is_integer, is_name

_SECRETS = ("node_secret", "claim_key", "password", "pass", "psk")
TLS = ("tls", "use_tls")
PLACES = ("wifi", "mqtt")  # where the node connects
_SHOWN = ("host", "port", "keepalive", "tls", "use_tls")
_NONE = {}
_LOGIN = ("username", "user", "password", "pass", "client_id")


def problem(doc, settings=_NONE):
    """(path, what is wrong) of the first bad value in the order of A6.2, None for a good one; the
    settings know the pins."""
    for name, kinds in (("node_id", str), ("version", (int, float)), ("type", str)):
        if isinstance(doc.get(name), bool) or not isinstance(doc.get(name), kinds):
            return _missing(name)
    if not isinstance(doc.get("channels"), list):
        return _missing("channels")
    for check in (_mqtt, _places, _wifi, _others):
        found = check(doc)
        if found:
            return found
    from . import wiring  # not before the first config: a small heap is better used

    return wiring.problem(doc["channels"], settings)


def _missing(path):
    return path, "Missing or invalid " + path


def _mqtt(doc):
    mqtt = doc.get("mqtt")
    if not isinstance(mqtt, dict):
        return _missing("mqtt")
    if mqtt.get("configured") is True:
        return None
    if not isinstance(mqtt.get("host"), str) or not mqtt["host"]:
        return _missing("mqtt.host")
    if not is_integer(mqtt.get("port"), 1, 65535):
        return _missing("mqtt.port")
    if "keepalive" in mqtt and not is_integer(mqtt["keepalive"], 1, 65535):
        return _missing("mqtt.keepalive")
    for name in _LOGIN:
        if mqtt.get(name) is not None and not isinstance(mqtt[name], str):
            return _missing("mqtt." + name)
    for name in TLS:
        if mqtt.get(name, False) not in (True, False):
            # what somebody means by "no" must not decide over a cipher
            return _missing("mqtt." + name)
    return None


def _places(doc):
    for name in ("gh_uid", "zone_uid", "node_id"):
        if not is_name(doc.get(name)):
            return _missing(name)
    return None


def _wifi(doc):
    wifi = doc.get("wifi")
    if wifi is None:
        return None
    if not isinstance(wifi, dict):
        return _missing("wifi")
    if wifi.get("configured") is True:
        return None
    found = network_problem(wifi)
    return _missing("wifi." + found) if found else None


def network_problem(net):
    """Which part of one network's entry cannot be used, None for a good one."""
    if not isinstance(net.get("ssid"), str) or not net["ssid"]:
        return "ssid"
    for name in ("pass", "password"):
        if net.get(name) is not None and not isinstance(net[name], str):
            return name
    fixed = net.get("ip") or ["", "", "", ""]  # address, mask, gateway, DNS
    if not isinstance(fixed, list) or [type(part) for part in fixed] != [str] * 4:
        return "ip"
    return None


def _others(doc):
    secret = doc.get("node_secret")
    if secret is not None and not (isinstance(secret, str) and 0 < len(secret) <= 128):
        return _missing("node_secret")
    for name in ("calibration", "fail_safe_guards"):
        if doc.get(name) is not None and not isinstance(doc[name], dict):
            return _missing(name)
    for place in (doc, doc.get("fail_safe_guards") or _NONE):
        if not is_integer(place.get("link_loss_timeout_sec", 0), 0, 86400):
            return _missing("link_loss_timeout_sec")
    return None


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
    shown = {k: _without_secrets(v) for k, v in config.items() if k not in _SECRETS}
    if "wifi" in shown:
        shown["wifi"] = {"configured": bool(config["wifi"])}
    mqtt = config.get("mqtt") or {}
    shown["mqtt"] = {name: mqtt[name] for name in _SHOWN if name in mqtt} or {"configured": True}
    return shown


def _without_secrets(value):
    # as deep as the scanner allowed
    if isinstance(value, dict):
        return {k: _without_secrets(v) for k, v in value.items() if k not in _SECRETS}
    if isinstance(value, list):
        return [_without_secrets(one) for one in value]
    return value
