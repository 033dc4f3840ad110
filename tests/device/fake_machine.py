# A `machine` for interpreters that have no pins, stricter than the real one: a pin is used in one way only,
# a value must have its exact type and range, what was given back is not touched again. Drivers are tested
# against it; that they work on a board is another matter. No typing: MicroPython runs this.


class Bench:
    """What hangs at the pins."""

    def __init__(self):
        self.users = {}  # pin -> who has it
        self.inputs = {}  # pin -> 0 or 1
        self.volts = {}  # pin -> raw, 0 to 65535
        self.outputs = {}  # pin -> what was written, in order
        self.duties = {}  # pin -> duty, None once it was given back
        self.handlers = {}  # pin -> the handler of its pulses
        self.i2c = {}  # address -> device with write(bytes) and read(count)
        self.waited = 0
        self.machine = Machine(self)

    def take(self, number, user):
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError("a pin is a number")
        if self.users.setdefault(number, user) != user:
            raise ValueError("pin %d is %s already" % (number, self.users[number]))

    def pulse(self, number):
        """One falling edge."""
        handler = self.handlers[number]
        if handler:
            handler(object())


class Machine:
    """The names that drivers find in `machine`."""

    def __init__(self, bench):
        class Pin(BenchPin):
            _bench = bench

        self.Pin, self.ADC, self.PWM, self.SoftI2C = Pin, ADC, PWM, SoftI2C


class ADC:
    """An analogue input."""

    def __init__(self, pin):
        self._bench, self._number = pin.bench, pin.number
        self._bench.take(self._number, "adc")

    def read_u16(self):
        return self._bench.volts[self._number]


class PWM:
    """A modulated output."""

    def __init__(self, pin, freq, duty_u16):
        if not 8 <= freq <= 40000000:
            raise ValueError("frequency")
        self._bench, self._number = pin.bench, pin.number
        self._bench.take(self._number, "pwm")
        self._bench.duties[self._number] = 0
        self.duty_u16(duty_u16)

    def duty_u16(self, duty):
        if self._bench.duties[self._number] is None:
            raise ValueError("was given back")
        if not isinstance(duty, int) or not 0 <= duty <= 65535:
            raise ValueError("duty")
        self._bench.duties[self._number] = duty

    def deinit(self):
        self._bench.duties[self._number] = None


class SoftI2C:
    """A bus; one pin has one use."""

    def __init__(self, scl, sda):
        if scl.number == sda.number:
            raise ValueError("one pin for both")
        self._bench = scl.bench
        for pin in (scl, sda):
            self._bench.take(pin.number, "i2c")

    def _device(self, address):
        if address not in self._bench.i2c:
            raise OSError(19)
        return self._bench.i2c[address]

    def writeto(self, address, data):
        self._device(address).write(bytes(data))

    def readfrom(self, address, count):
        return self._device(address).read(count)


class BenchPin:
    """One pin."""

    IN, OUT, PULL_UP, PULL_DOWN, IRQ_FALLING = "in", "out", "up", "down", 2
    _bench = None

    def __init__(self, number, mode=None, pull=None, value=None):
        self._bench.take(number, self._bench.users.get(number, mode) if mode is None else mode)
        if mode not in (None, self.IN, self.OUT) or pull not in (None, "up", "down"):
            raise ValueError("mode or pull")
        if mode is None:
            del self._bench.users[number]  # whoever gets it says what it is
        if value is not None and mode != self.OUT:
            raise ValueError("a value for an input")
        self.number, self.mode, self.pull = number, mode, pull
        if mode == self.OUT:
            self._bench.outputs.setdefault(number, [])
            if value is not None:
                self.value(value)

    @property
    def bench(self):
        return self._bench

    def value(self, wanted=None):
        if wanted is None:
            if self.mode != self.IN:
                raise ValueError("no input")
            return self._bench.inputs[self.number]
        if self.mode != self.OUT or wanted not in (0, 1):
            raise ValueError("no output, or no level")
        self._bench.outputs[self.number].append(int(wanted))
        return None

    def irq(self, handler=None, trigger=None):
        if self.mode != self.IN or (handler and trigger != self.IRQ_FALLING):
            raise ValueError("irq")
        self._bench.handlers[self.number] = handler


class Sht3x:
    """The sensor itself: a command, 15 ms, six bytes with their checksums."""

    def __init__(self, bench, temperature, humidity):
        self._bench, self._raw = bench, (temperature, humidity)
        self._asked = None
        self.spoilt = False

    def write(self, data):
        if data != b"\x24\x00":
            raise OSError(5)
        self._asked = self._bench.waited

    def read(self, count):
        if self._asked is None or self._bench.waited - self._asked < 15 or count != 6:
            raise OSError(5)
        self._asked = None
        data = b""
        for raw in self._raw:
            pair = bytes([raw >> 8, raw & 255])
            data += pair + bytes([self._crc(pair) ^ self.spoilt])
        return data

    def _crc(self, data):
        # bit by bit from the data sheet: polynomial 0x31, begins with 0xFF
        register = 0xFF
        for bit in [byte >> shift & 1 for byte in data for shift in range(7, -1, -1)]:
            register = register << 1 ^ (0x31 if (register >> 7 ^ bit) & 1 else 0)
            register &= 0xFF
        return register


class OneWire:
    """Thermometers on wires, as the modules onewire and ds18x20 of a board see them."""

    def __init__(self):
        self.roms = {}  # rom -> degrees
        self.converted = False
        outer = self

        class Wire:
            def __init__(self, pin):
                self.pin = pin

        class DS18X20:
            def __init__(self, wire):
                self._wire = wire

            def scan(self):
                return [bytearray(rom) for rom in outer.roms]

            def convert_temp(self):
                outer.converted = True

            def read_temp(self, rom):
                if not outer.converted:
                    raise ValueError("nothing was converted")
                outer.converted = False
                return outer.roms[bytes(rom)]

        self.OneWire, self.DS18X20 = Wire, DS18X20
