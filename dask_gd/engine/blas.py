"""One BLAS thread inside a task, the user's setting outside."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = 0
_limit = ExitStack()
_controller: ThreadpoolController | None = None
# The limit of OpenBLAS belongs to the thread that set it: threadpoolctl lets no other thread lift it. Tasks come and
# go on many threads, so one thread that stays sets it and lifts it for all of them.
_keeper = ThreadPoolExecutor(1, thread_name_prefix="dask_gd-blas")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any task of this process is inside.

    The limit is a setting of the whole process: the first task in sets it and the last one out lifts it, or two tasks
    on two threads would undo each other's limit in mid-product (and with it the bits).
    """
    global _users
    with _lock:
        if _users == 0:
            _keeper.submit(_set).result()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _keeper.submit(_limit.close).result()


def _forget() -> None:
    """A forked child has the module but not the keeper's thread."""
    global _lock, _users, _limit, _keeper
    _lock, _users, _limit = threading.Lock(), 0, ExitStack()
    _keeper = ThreadPoolExecutor(1, thread_name_prefix="dask_gd-blas")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _set() -> None:
    global _controller
    if _controller is None:
        import scipy.linalg  # noqa: F401  # SciPy's BLAS, which compiled code calls: only what is loaded is limited

        _controller = ThreadpoolController()
    _limit.enter_context(_controller.limit(limits=1, user_api="blas"))
