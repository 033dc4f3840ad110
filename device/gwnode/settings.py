"""node.json: what its owner wrote, and what is wrong with it. Pure but for load()."""
# Rules of this file. A mistake in node.json is told in three lines (what, why, next), all of them at
# once, and never costs a traceback. What load() returns can be used without another look.

import json

from .document import TLS, network_problem
from .protocol import is_integer, is_name

_TEXTS = ("node_type", "root", "claim_key", "hardware_revision", "wifi_country")
_POWER = ("performance", "powersave", "none")
_IP = "a list of address, mask, gateway and DNS, each a text"
_LOGIN = ("username", "password", "user", "pass", "client_id")


class SettingsError(Exception):
    """node.json cannot be used; why says each thing that is wrong."""

    def __init__(self, why):
        super().__init__("; ".join(why))
        self.why = why


def load(path):
    """The settings; raises SettingsError."""
    try:
        with open(path) as file:
            settings = json.load(file)
    except OSError:
        raise SettingsError(["%s is not there" % path])
    except ValueError:
        raise SettingsError(["%s is not JSON" % path])
    if not isinstance(settings, dict):
        raise SettingsError(["%s is no object" % path])
    return check(settings)


def check(settings):
    """The settings with their names in lower case; raises SettingsError."""
    wrong = []
    name = settings.get("hardware_id")
    if name and isinstance(name, str):
        settings["hardware_id"] = name = name.lower()
    if name and not is_name(name, 128):
        wrong.append("hardware_id: letters, digits, - and _ only")
    for key in _TEXTS:
        if settings.get(key) is not None and not isinstance(settings[key], str):
            wrong.append("%s: a text" % key)
    root = settings.get("root", "hydro")
    if isinstance(root, str) and not all([is_name(part) for part in root.split("/")]):
        wrong.append("root: a name such as hydro")
    for key, most in (("interval_s", 3600), ("trial_s", 86400)):
        value = settings.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
            wrong.append("%s: seconds, at most %d" % (key, most))
    _check_channels(settings, wrong)
    _check_mqtt(settings.get("mqtt"), wrong)
    _check_wifi(settings, wrong)
    if wrong:
        raise SettingsError(wrong)
    return settings


def _check_channels(settings, wrong):
    for key, most in (("sleep_s", 86400), ("awake_s", 3600), ("ring_blocks", 250)):
        if not is_integer(settings.get(key, 1), 1, most):
            wrong.append("%s: 1 to %d" % (key, most))
    if not isinstance(settings.get("pins", {}), dict):
        wrong.append('pins: an object such as {"ph_sensor": 26}')


def _check_mqtt(mqtt, wrong):
    if not isinstance(mqtt, dict) or not isinstance(mqtt.get("host"), str) or not mqtt["host"]:
        wrong.append("mqtt.host: the broker's name or address")
        return
    for key in ("port", "keepalive"):
        if key in mqtt and not is_integer(mqtt[key], 1, 65535):
            wrong.append("mqtt.%s: 1 to 65535" % key)
    for key in _LOGIN:
        if mqtt.get(key) is not None and not isinstance(mqtt[key], str):
            wrong.append("mqtt.%s: a text" % key)
    for key in TLS:
        if mqtt.get(key, False) not in (True, False):
            wrong.append("mqtt.%s: true or false" % key)


def _check_wifi(settings, wrong):
    if len(str(settings.get("wifi_country") or "DE")) != 2:
        wrong.append("wifi_country: two letters, such as DE")
    if settings.get("wifi_power", _POWER[0]) not in _POWER:
        wrong.append("wifi_power: one of %s" % ", ".join(_POWER))
    wifi = settings.get("wifi")
    nets = wifi if isinstance(wifi, list) else [wifi] if wifi else []
    for net in nets:
        if not isinstance(net, dict):
            wrong.append('wifi: a list such as [{"ssid": "name", "pass": "word"}]')
            return
        # the example that people copy has an empty name, for boards on a wire
        found = network_problem(net) if net.get("ssid") != "" else None
        if found:
            wrong.append("wifi.%s: %s" % (found, _IP if found == "ip" else "a text"))
