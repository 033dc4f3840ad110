"""The only file that knows machine and network; on a PC it stands on what is there instead."""
# Chosen by feature, not by name: a module that is not there is not used. Monotonic milliseconds are
# made here from wrapping ticks, so that nobody else ever sees a tick.

import binascii
import gc
import os
import sys
import time

try:
    import machine
except ImportError:
    machine = None
try:
    import network
except ImportError:
    network = None

IS_MICROPYTHON = sys.implementation.name == "micropython"
_TICKS = getattr(time, "ticks_ms", None)
_EPOCH_2000 = 946684800
_last = _TICKS() if _TICKS else 0
_count = 0
_least_heap = [1 << 30]
_JOIN_MS = 15000
_radio = {"wlan": None, "nets": None, "turn": 0, "since": None}


def now_ms():
    """Milliseconds since the start; never wraps, never goes back."""
    global _last, _count
    if _TICKS is None:
        return int(time.monotonic() * 1000)
    ticks = _TICKS()
    _count += time.ticks_diff(ticks, _last)  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
    _last = ticks
    return _count


def random_bytes(count):
    return os.urandom(count)


def boot_id():
    return binascii.hexlify(random_bytes(4)).decode()


def hardware_id():
    """From the factory's address, as field firmware spells it; "" where there is none."""
    if network is not None:
        try:
            mac = network.WLAN(network.STA_IF).config("mac")
            return "esp32-" + binascii.hexlify(mac).decode()
        except (OSError, ValueError):
            pass
    if machine is not None and hasattr(machine, "unique_id"):
        return "esp32-" + binascii.hexlify(machine.unique_id()[-6:]).decode()
    return ""


def facts():
    """What a beat tells."""
    free = 0
    if IS_MICROPYTHON:
        gc.collect()
        free = gc.mem_free()  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
        _least_heap[0] = min(_least_heap[0], free)
    found = {"uptime": now_ms() // 1000, "free_heap": free, "rssi": rssi()}
    found["min_free_heap"] = _least_heap[0] if IS_MICROPYTHON else 0
    return found


def rssi():
    wlan = _radio["wlan"]
    if wlan is None:
        return -100
    try:
        return wlan.status("rssi")
    except (OSError, ValueError):
        return -100


def description():
    """board, mpy and reset_cause for the hello."""
    if not IS_MICROPYTHON:
        return {"board": sys.platform, "mpy": "CPython %d.%d" % sys.version_info[:2]}
    version = ".".join([str(n) for n in sys.implementation.version[:3]])
    found = {"board": getattr(sys.implementation, "_machine", sys.platform)[:60], "mpy": version}
    if machine is not None and hasattr(machine, "reset_cause"):
        found["reset_cause"] = str(machine.reset_cause())
    return found


def set_clock(unix_ts):
    """Set the board's clock where it has one."""
    if machine is None or not hasattr(machine, "RTC"):
        return
    fields = time.gmtime(unix_ts - (_EPOCH_2000 if time.gmtime(0)[0] == 2000 else 0))
    machine.RTC().datetime(fields[:3] + (fields[6],) + fields[3:6] + (0,))


def wifi(wanted):
    """True where there is a network, or no radio to wait for. Else it goes on joining, each known
    network in turn, and says False at once: nobody waits in here."""
    if network is None:
        return True
    nets = [n for n in (wanted if isinstance(wanted, list) else [wanted]) if n and n.get("ssid")]
    wlan = _radio["wlan"]
    if wlan is None:
        wlan = _radio["wlan"] = network.WLAN(network.STA_IF)
        wlan.active(True)
    elif nets != _radio["nets"]:
        _leave(wlan)  # what is joined may not be wanted any more
    if nets != _radio["nets"]:
        _radio.update({"nets": nets, "turn": 0, "since": None})
    if wlan.isconnected():
        return True
    since = _radio["since"]
    if nets and (since is None or now_ms() - since >= _JOIN_MS):
        net = nets[_radio["turn"] % len(nets)]
        _radio.update({"turn": _radio["turn"] + 1, "since": now_ms()})
        _leave(wlan)
        try:
            wlan.connect(net["ssid"], net.get("pass") or net.get("password") or "")
        except (OSError, ValueError):
            pass
    return False


def _leave(wlan):
    try:
        wlan.disconnect()
    except (OSError, ValueError):
        pass


def restart():
    """Begin again: a reset on a board, exit code 3 elsewhere (whoever started us starts us again)."""
    if machine is not None and hasattr(machine, "reset"):
        machine.reset()
    sys.exit(3)


def on_end():
    """Make SIGTERM end us as Ctrl+C does. MicroPython knows no signals but that one, and a board is
    just switched off."""
    try:
        import signal
    except ImportError:
        return

    def end(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def print_error(error):
    """The traceback, wherever this interpreter keeps the function for it."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
    else:
        import traceback

        traceback.print_exception(error, file=sys.stdout)


def sleep_ms(count):
    if _TICKS is not None:
        time.sleep_ms(count)  # pyright: ignore[reportAttributeAccessIssue] - MicroPython's own
    else:
        time.sleep(count / 1000)
