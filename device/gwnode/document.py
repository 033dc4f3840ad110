"""A config document: what is wrong with it, what it leaves as it was, what must not be shown. Pure."""

_RELAYS = ("RELAY", "VALVE", "FAN", "HEATER")
_SECRETS = ("node_secret",)


def problem(doc):
    """(path, what is wrong) of the first bad value in the order of A6.2, None for a good one."""
    for name, kind in (("node_id", str), ("version", None), ("type", str), ("channels", list)):
        value = doc.get(name)
        if kind is None:
            bad = isinstance(value, bool) or not isinstance(value, (int, float))
        else:
            bad = not isinstance(value, kind)
        if bad:
            return name, "Missing or invalid " + name
    return _mqtt(doc.get("mqtt")) or _places(doc) or _wifi(doc.get("wifi")) or _channels(doc)


def _mqtt(mqtt):
    if not isinstance(mqtt, dict):
        return "mqtt", "Missing or invalid mqtt"
    if mqtt.get("configured") is True:
        return None
    if not isinstance(mqtt.get("host"), str) or not mqtt["host"]:
        return "mqtt.host", "Missing or invalid mqtt.host"
    if not _port(mqtt.get("port")):
        return "mqtt.port", "Missing or invalid mqtt.port"
    if "keepalive" in mqtt and not _port(mqtt["keepalive"]):
        return "mqtt.keepalive", "Missing or invalid mqtt.keepalive"
    return None


def _port(value):
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def _places(doc):
    for name in ("gh_uid", "zone_uid"):
        if not isinstance(doc.get(name), str) or not doc[name]:
            return name, "Missing or invalid " + name
    return None


def _wifi(wifi):
    if wifi is None:
        return None
    if not isinstance(wifi, dict):
        return "wifi", "Missing or invalid wifi"
    if wifi.get("configured") is not True and not (
        isinstance(wifi.get("ssid"), str) and wifi["ssid"]
    ):
        return "wifi.ssid", "Missing or invalid wifi.ssid"
    return None


def _channels(doc):
    for number, channel in enumerate(doc["channels"]):
        if not isinstance(channel, dict):
            return "channels[%d]" % number, "Missing or invalid channel"
        if channel.get("actuator_type") in _RELAYS and channel.get("relay_type") not in (
            "NC",
            "NO",
        ):
            return "channels[%d].relay_type" % number, "Missing or invalid relay_type"
    return None


def overlay(doc, old):
    """What the document does not carry, from the config that ran until now (B5)."""
    kept = {}
    wifi = doc.get("wifi")
    if (not wifi or wifi.get("configured") is True) and old.get("wifi"):
        kept["wifi"] = old["wifi"]
    if doc["mqtt"].get("configured") is True and old.get("mqtt"):
        kept["mqtt"] = old["mqtt"]
    if not doc.get("node_secret") and old.get("node_secret"):
        kept["node_secret"] = old["node_secret"]
    new, known = doc.get("calibration") or {}, old.get("calibration") or {}
    calibration = {name: known[name] for name in known if not new.get(name)}
    if calibration:
        kept["calibration"] = calibration
    return kept


def effective(doc, kept):
    """The document with what it left as it was."""
    config = dict(doc)
    for name in ("wifi", "mqtt", "node_secret"):
        if name in kept:
            config[name] = kept[name]
    if "calibration" in kept:
        both = dict(kept["calibration"])
        both.update({k: v for k, v in (doc.get("calibration") or {}).items() if v})
        config["calibration"] = both
    return config


def redacted(config):
    """What may be shown: no secret, no password; that Wi-Fi is there, not which."""
    shown = {name: config[name] for name in config if name not in _SECRETS}
    if "wifi" in shown:
        shown["wifi"] = {"configured": bool(config["wifi"])}
    mqtt = config.get("mqtt") or {}
    shown["mqtt"] = {
        name: mqtt[name] for name in ("host", "port", "keepalive", "tls", "use_tls") if name in mqtt
    }
    if not shown["mqtt"]:
        shown["mqtt"] = {"configured": True}
    return shown
