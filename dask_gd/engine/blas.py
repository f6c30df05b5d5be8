"""One BLAS thread inside a task, the user's setting outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = 0
_controller: ThreadpoolController | None = None
_limit: object = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any task of this process is inside.

    The limit is a setting of the whole process: the first task in sets it and the last one out restores it, or two
    tasks on two threads would undo each other's limit in mid-product (and with it the bits).
    """
    global _users, _controller, _limit
    with _lock:
        if _users == 0:
            if _controller is None:
                _controller = ThreadpoolController()
            _limit = _controller.limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limit.restore_original_limits()  # type: ignore[attr-defined]
                _limit = None
