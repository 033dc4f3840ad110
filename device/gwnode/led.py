"""How the node is, shown by a light at the pin that `led` in node.json names: docs/node/led.md."""
# Rules of this file. Loaded only where there is such a pin. A pattern is ten tenths of a second, played
# again and again; a crash is told by a light that stays on until the board begins anew.

from . import board, log

PATTERNS = {
    "looking": "#####.....",
    "asking": "#.#.#.#.#.",
    "trial": "#.#.......",
    "safe mode": "#.#.#.....",
}
_BLINK_MS = 100


def state(node):
    """Its row of the table; "heard" is dark, but for a blink at each beat."""
    if node.safe_mode:
        return "safe mode"
    if node.store.trial:
        return "trial"
    if not node.connected:
        return "looking"
    return "heard" if node.hello_at is None else "asking"


class Led:
    """The light; where its pin cannot be had, it says so and the node goes on."""

    def __init__(self, settings):
        self._dark = int(settings.get("led_invert") is True)
        self._beats = self._until = 0
        try:
            pin = board.machine.Pin
            self._set = pin(settings["led"], pin.OUT, value=self._dark).value
        except (AttributeError, TypeError, ValueError) as error:
            self._set = int  # takes a value as well, and nobody sees it
            log.error("led: %s" % error)

    def show(self, lit):
        self._set(lit ^ self._dark)

    def turn(self, node, now):
        """The loop went round once."""
        beats = node.seqs.get("heartbeat", 0)
        if beats != self._beats:
            self._beats, self._until = beats, now + _BLINK_MS
        pattern = PATTERNS.get(state(node))
        self.show(pattern[now // 100 % 10] == "#" if pattern else now < self._until)
