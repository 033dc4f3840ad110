# A board's `machine` on a PC, ahead of the real one in the path: it writes down what is done to it.

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
done = []
cause = PWRON_RESET


def reset_cause():
    return cause


def unique_id():
    return b"\xe6\x61\x64\x08\x43\x2f\x11\x22"


def reset():
    done.append("reset")
    raise SystemExit(5)


class RTC:
    def datetime(self, fields):
        done.append(("clock", tuple(fields)))


class WDT:
    def __init__(self, timeout):
        assert timeout <= 8388, "an RP2040 counts no further"
        done.append("watchdog")

    def feed(self):
        done.append("feed")
