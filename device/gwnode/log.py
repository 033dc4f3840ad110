"""Three functions; one line for one fact. What they print is what a person sees on the serial line."""

_LEVELS = ("debug", "info", "error")
_least = 1


def level(name):
    global _least
    _least = _LEVELS.index(name)


def info(*words):
    if _least <= 1:
        print(*words)


def error(*words):
    print("error:", *words)
