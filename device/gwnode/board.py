"""The only file that knows machine and network; on a PC it stands on what is there instead."""
# Chosen by feature, not by name: a module that is not there is not used. Monotonic milliseconds are
# made here from wrapping ticks, so that nobody else ever sees a tick.

import gc
import hashlib
import io
import os
import sys
import time

from . import const, pc

try:
    import machine
except ImportError:
    machine = None  # which has nothing that anybody asks it for
try:
    import network
except ImportError:
    network = None

_epoch = 946684800 if time.gmtime(0)[0] == 2000 else 0  # where this board's clock begins
_last = getattr(time, "ticks_ms", int)()  # a soft reset does not set ticks back
_count = 0
_least_heap = 1 << 30
_DOG_MS = const(8000)  # an RP2040 counts no further than 8,388
_radio = []
_CAUSES = const(("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT", "BROWN_OUT"))


def now_ms():
    """Milliseconds since the start; never wraps, never goes back."""
    global _last, _count
    ticks = time.ticks_ms()  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
    _count += time.ticks_diff(ticks, _last)  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
    _last = ticks
    return _count


def settled():
    """Everything that stays is in its place: memory may now fill further before it is collected."""
    if hasattr(gc, "threshold"):
        gc.collect()
        gc.threshold(max(4096, gc.mem_free() // 8))  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own


def random_bytes(count):
    """From the board's own source of chance; where it has none, from what differs between boots."""
    if hasattr(os, "urandom"):
        return os.urandom(count)
    known = [time.time(), now_ms(), id([])]
    for where, name in ((machine, "unique_id"), (time, "ticks_cpu"), (time, "time_ns")):
        if hasattr(where, name):
            known.append(getattr(where, name)())
    return hashlib.sha256(repr(known).encode()).digest()[:count]


def boot_id():
    return random_bytes(4).hex()


def hardware_id():
    """From the factory's address, as field firmware spells it; "" where there is none."""
    if network is not None:
        try:
            return "esp32-" + network.WLAN(network.STA_IF).config("mac").hex()
        except (OSError, ValueError):
            pass
    if hasattr(machine, "unique_id"):
        return "esp32-" + machine.unique_id()[-6:].hex()
    return ""


def facts():
    """What a beat tells."""
    global _least_heap
    gc.collect()
    free = gc.mem_free() if pc is None else 0  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
    _least_heap = min(_least_heap, free)
    found = {"uptime": now_ms() // 1000, "free_heap": free, "rssi": rssi()}
    found["min_free_heap"] = _least_heap
    return found


def rssi():
    try:
        return _radio[0].status("rssi")
    except (IndexError, OSError, ValueError):
        return -100


def description():
    """board, mpy and reset_cause for the hello."""
    version = "%d.%d.%d" % sys.implementation.version[:3]
    found = {"mpy": "CPython " + version if pc else version}
    found["board"] = getattr(sys.implementation, "_machine", sys.platform)[:60]
    if hasattr(machine, "reset_cause"):
        number = machine.reset_cause()
        found["reset_cause"] = str(number)
        for name in _CAUSES:
            if getattr(machine, name + "_RESET", None) == number:
                found["reset_cause"] = name.lower()
                break
    return found


def unix():
    """The board's clock as unix seconds, right or not."""
    return int(time.time()) + _epoch


def not_before(unix_ts):
    """A clock that is behind what is known to be past cannot check a certificate: set it to that."""
    if unix() < unix_ts:
        set_clock(unix_ts)


def set_clock(unix_ts):
    """Set the board's clock where it has one."""
    if hasattr(machine, "RTC"):
        fields = time.gmtime(unix_ts - _epoch)
        machine.RTC().datetime(fields[:3] + (fields[6],) + fields[3:6] + (0,))


def radio(country, power):
    """The Wi-Fi manager, None where there is no radio to wait for."""
    if network is None:
        return None
    from . import wifi  # a board on a wire has the memory for something else

    if country:
        network.country(country)
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    mode = getattr(network.WLAN, "PM_" + power.upper(), None)
    if mode is not None:
        wlan.config(pm=mode)
    _radio.append(wlan)
    return wifi.Wifi(wlan, wifi.failures(network))


def watchdog():
    """Begin the board's own, None where there is none. It cannot be stopped again."""
    return machine.WDT(timeout=_DOG_MS) if hasattr(machine, "WDT") else None


def restart():
    """Begin again: a reset on a board, exit code 3 elsewhere (whoever started us starts us again)."""
    if hasattr(machine, "reset"):
        machine.reset()
    sys.exit(3)


def has_pins():
    """False on a PC, where channels are simulated."""
    return hasattr(machine, "Pin")


def starved():
    """True where the watchdog ended the last boot."""
    return hasattr(machine, "WDT_RESET") and machine.reset_cause() == machine.WDT_RESET


def slept_clock():
    """Unix time after a sleep, which the board's clock outlives; 0 where it may be anything."""
    if not hasattr(machine, "DEEPSLEEP_RESET") or machine.reset_cause() != machine.DEEPSLEEP_RESET:
        return 0
    return unix()


def sleep(seconds):
    """Off for so long; what wakes is a new boot."""
    if hasattr(machine, "deepsleep"):
        machine.deepsleep(seconds * 1000)
    time.sleep(seconds)
    restart()


def traceback_of(error):
    """The traceback as text."""
    text = io.StringIO()
    sys.print_exception(error, text)  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
    return text.getvalue()


def sleep_ms(count):
    time.sleep_ms(count)  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own


if pc:
    from .pc import now_ms, sleep_ms, traceback_of  # noqa: F401 - a PC has them otherwise
