"""One BLAS thread inside a task, the user's setting outside."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = 0
_limit = ExitStack()
_controller: ThreadpoolController | None = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any task of this process is inside.

    The limit is a setting of the whole process: the first task in sets it and the last one out lifts it, or two tasks
    on two threads would undo each other's limit in mid-product (and with it the bits).
    """
    global _users
    with _lock:
        if _users == 0:
            _set()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _lift()


def _forget() -> None:
    """A forked child has the module but not the tasks that were inside."""
    global _lock, _users, _limit
    _lock, _users, _limit = threading.Lock(), 0, ExitStack()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _set() -> None:
    global _controller
    if _controller is None:
        import scipy.linalg  # noqa: F401  # SciPy's BLAS, which compiled code calls: only what is loaded is limited

        _controller = ThreadpoolController()
    _release(_controller)
    _limit.enter_context(_controller.limit(limits=1, user_api="blas"))


def _lift() -> None:
    assert _controller is not None
    _release(_controller)
    _limit.close()
    _release(_controller)


def _release(controller: ThreadpoolController) -> None:
    """Make the limit of OpenBLAS nobody's: threadpoolctl 3.7 gives it to the thread that sets it, and to others their
    calls do nothing, but the last task out may be on another thread than the first one in."""
    for library in controller.lib_controllers:
        release = getattr(library, "clear_controlling_thread", None)
        if release is not None:
            release(force=True)
