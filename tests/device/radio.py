# A radio that is stricter than the real one: it is asked in the right order, or it says so.
# No typing and no pytest: the scenarios that use it run in MicroPython too.

IDLE, JOINING, WRONG_PASSWORD, NOT_FOUND, UP = 0, 1, -3, -2, 3
FAILURES = {WRONG_PASSWORD: "wrong password", NOT_FOUND: "not found"}


class Radio:
    """`air` is what can be heard: name -> (password, strength)."""

    def __init__(self, **air):
        self.air = air
        self.hidden = ()  # networks that a scan does not see
        self.state = IDLE
        self.answers = True  # False: whoever joins hears nothing at all
        self.name = None
        self.joins = []  # every name that was asked for
        self.scans = 0
        self.address = "dhcp"

    def isconnected(self):
        return self.state == UP

    def status(self):
        return self.state

    def scan(self):
        assert self.state != UP, "a scan would disturb what is joined"
        self.scans += 1
        found = [n for n in self.air if n not in self.hidden]
        return [(n.encode(), b"mac", 1, self.air[n][1], 3, False) for n in found]

    def ifconfig(self, address):
        assert self.state == IDLE, "an address is set before joining"
        assert address == "dhcp" or [type(part) for part in address] == [str] * 4
        self.address = address

    def connect(self, name, password):
        assert self.state == IDLE, "leave before you join"
        self.joins.append(name)
        self.name = name
        if not self.answers:
            self.state = JOINING
        elif name not in self.air:
            self.state = NOT_FOUND
        else:
            self.state = UP if self.air[name][0] == password else WRONG_PASSWORD

    def disconnect(self):
        self.state = IDLE
