"""A pulse-width modulated output of `frequency` (1000) hertz."""

from .. import board


class Driver:
    def __init__(self, pins, channel):
        pwm, pin = board.machine.PWM, board.machine.Pin
        self._pwm = pwm(pin(pins[0]), freq=channel.get("frequency", 1000), duty_u16=0)

    def do(self, level):
        self._pwm.duty_u16(level * 257)

    def close(self):
        self._pwm.deinit()
