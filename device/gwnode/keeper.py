"""What the loop asks of flash and of drivers."""
# Rules of this file. Flash that does not take something never ends a node: it is told, and the node goes
# on. Drivers are loaded when the first channel asks for one.

from . import board, follow, log, notes
from .storage import Storage


class Keeper:
    """The part of the loop that outlives a boot."""

    def __init__(self, folder, settings):
        self.folder = folder
        self.settings = settings
        self.events = []
        self.storage = Storage(folder)
        self.notes = notes.Notes(folder, self.trouble)
        self.remember, self.good_boot = self.notes.remember, self.notes.good_boot
        self._hardware = None  # until a channel needs it

    def trouble(self, text):
        """Flash is not as it should be: say so here, and to the gateway."""
        log.error("flash: %s" % text)
        self.events.append(("trouble", "flash", text))

    def remind(self, node):
        """What the boots before this one left to know."""
        if board.starved():
            self.notes.bad_boot()
        safe_mode = self.notes.safe_mode
        unix, now = board.slept_clock(), board.now_ms()
        follow.recall(node, self.notes.seen(), safe_mode, unix, now)
        if safe_mode:
            log.error("safe mode: no drivers, after too many bad boots")

    def keep_time(self, unix):
        try:
            self.storage.keep_time(unix)
        except OSError as error:
            self.trouble("clock not written: %s" % error)

    # -- actions, by the names that the node knows ------------------------------------------------

    def save(self, number, pieces, record):
        try:
            self.storage.save(number, pieces, record)
        except (OSError, MemoryError) as error:
            # without an answer the node would wait for it for ever
            self.events.append(("unsaved", str(error) or type(error).__name__))
            return
        self.events.append(("saved",))

    def record(self, record):
        try:
            self.storage.put_record(record)
        except OSError as error:
            self.trouble("boot record not written: %s" % error)

    def hardware(self, what, *words):
        """Drivers and the ring of samples, loaded when the first channel asks for them."""
        if self._hardware is None:
            from .hardware import Hardware

            self._hardware = Hardware(self.folder, self.settings, self.events)
        getattr(self._hardware, what)(*words)

    def forget_crash(self):
        notes.forget_crash(self.folder)
