"""Which names hold secrets. Pure, and light enough for the command line's first screen."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"(^|_)(pass|passwd|password|passphrase|psk|secret|token|credential|sig|signature)s?$"
    r"|(^|_)(claim|private|api|secret)_?key$|^claim$",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """True where a key of this name holds a secret."""
    return bool(_SECRET.search(name))
