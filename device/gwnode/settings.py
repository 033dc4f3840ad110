"""node.json: what its owner wrote, and what is wrong with it. Pure but for load()."""
# Rules of this file. A mistake in node.json is told in three lines (what, why, next), all of them at
# once, and never costs a traceback. What load() returns can be used without another look.

import json

from . import const
from .check import MQTT, NETWORK, broken
from .protocol import is_name

_RULES = const(
    "hardware_id=name<=128 node_type,root,claim_key,hardware_revision=text"
    " interval_s=positive<=3600 trial_s=positive<=86400 sleep_s=1..86400 awake_s=1..3600"
    " ring_blocks=1..250 pins=object led=pin led_invert=true-or-false mqtt=object! wifi_country=two-letters"
    " wifi_power=performance|powersave|none"
)


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
    name = settings.get("hardware_id")
    if isinstance(name, str):
        settings["hardware_id"] = name.lower() or None  # "" is none
    wrong = _told(settings, _RULES, "")
    if not wrong and not all([is_name(part) for part in settings.get("root", "hydro").split("/")]):
        wrong.append("root: a name such as hydro")
    if isinstance(settings.get("mqtt"), dict):
        settings["mqtt"].setdefault("port", 1883)
        wrong += _told(settings["mqtt"], MQTT, "mqtt.")
    wifi = settings.get("wifi") or []
    for net in wifi if isinstance(wifi, list) else [wifi]:
        if not isinstance(net, dict):
            wrong.append('wifi: a list such as [{"ssid": "name", "pass": "word"}]')
        # the example that people copy has an empty name, for boards on a wire
        elif net.get("ssid") != "":
            wrong += _told(net, NETWORK, "wifi.")
    if wrong:
        raise SettingsError(wrong)
    return settings


def _told(values, rules, before):
    return [before + "%s: %s" % one for one in broken(values, rules)]
