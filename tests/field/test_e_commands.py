"""E: commands (field failure E4; the rest comes with commands)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway import DataError
from gateway.protocol.signing import sign_command

VECTORS = Path(__file__).parents[1] / "vectors" / "hmac_vectors.json"
DIVERGENT = json.loads(VECTORS.read_text())["divergent_do_not_send"]


@pytest.mark.parametrize("case", DIVERGENT, ids=lambda case: case["case"])
def test_e4_what_two_sides_would_sign_differently_is_never_sent(case: dict[str, Any]) -> None:
    """E4: numbers and keys on which sender and node disagree are refused before signing."""
    value = json.loads(case["value_on_wire"])
    command = value if isinstance(value, dict) else {"params": {"v": value}}
    with pytest.raises(DataError):
        sign_command("secret", command)
