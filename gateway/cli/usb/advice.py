"""What mpremote's words mean, and what to type next: a port in use, a board without MicroPython.

Rules of this file. Pure; a chip that USB does not tell is not guessed.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.errors import BoardError


class Port(NamedTuple):
    """A serial port with what USB says about it."""

    device: str
    usb: str  # vendor:product, four hexadecimal digits each
    about: str


def explained(error: BoardError, port: Port) -> BoardError:
    """What mpremote's words mean, and what to type next."""
    why = error.why
    if "in use" in why or "failed to access" in why or "could not open" in why:
        return BoardError(
            f"{port.device} cannot be opened",
            why=why,
            hint="close the program that uses it; or: sudo usermod -aG dialout $USER, then log in anew",
        )
    if "raw repl" in why or "nothing within" in why:
        return BoardError(
            f"no MicroPython answers on {port.device}",
            why="the board has none yet, or a program that hears no Ctrl+C",
            hint=flash_command(port),
        )
    return BoardError(error.what, why=why, hint=f"gateway node repl --port {port.device}")


def flash_command(port: Port) -> str:
    """How MicroPython gets on this board, by what its USB chip tells; the chip is never guessed."""
    vendor, _, product = port.usb.partition(":")
    pages = "https://micropython.org/download/"
    if vendor == "2e8a":
        return (
            f"hold BOOTSEL while you plug it in, and copy the .uf2 of your board from {pages} "
            "onto the drive that appears"
        )
    esptool = f"esptool --port {port.device}"
    if (vendor, product) == ("303a", "1001"):  # the USB of an ESP32-C3, -S3, -C6: all begin at 0
        return f"{esptool} erase-flash && {esptool} write-flash 0 FIRMWARE.bin   (from {pages})"
    return (
        f"{esptool} chip-id tells the chip; its page on {pages} has the file; for an ESP32: "
        f"{esptool} erase-flash && {esptool} write-flash 0x1000 FIRMWARE.bin"
    )
