"""One gateway for one state folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.errors import BusyError
from gateway.store.lock import StateLock, holder


def test_a_second_gateway_is_refused_by_name(tmp_path: Path) -> None:
    """The second one learns which process holds the folder; after release it may have it."""
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    assert holder(tmp_path) is None
    first.take()
    assert holder(tmp_path) == os.getpid()
    with pytest.raises(BusyError, match=str(os.getpid())):
        second.take()
    first.release()
    second.take()
    second.release()
    assert holder(tmp_path) is None
