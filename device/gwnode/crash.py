"""The traceback of the last crash: kept over the reset, told once, then forgotten."""
# Rules of this file. Nothing here may fail: it runs when something else has. Printable ASCII only, and
# the end of the text, where the error stands. What is there already is not written again, so that a
# board that crashes in a loop does not wear its flash.

import os

MOST = 512


def keep(folder, text):
    """Write it; a flash that takes nothing loses it."""
    text = "".join([c if " " <= c <= "~" or c == "\n" else "?" for c in text])[-MOST:]
    try:
        if read(folder) != text:
            with open(folder + "/crash", "w") as file:
                file.write(text)
    except OSError:
        pass


def read(folder):
    """What was kept, "" for nothing."""
    try:
        with open(folder + "/crash") as file:
            return file.read(MOST)
    except (OSError, UnicodeError):
        return ""


def forget(folder):
    """It has been told."""
    try:
        os.remove(folder + "/crash")
    except OSError:
        pass
