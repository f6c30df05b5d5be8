"""One data set in every shape that a user may hand over: in memory, as dask chunks of all kinds, sparse."""

import dask.array as da
import scipy.sparse as sp


def chunked(rows, columns):
    def wrap(X, *vectors):
        n, d = X.shape
        cut = rows(n)
        return (
            da.from_array(X, chunks=(cut, columns(d))),
            *(da.from_array(v, chunks=(cut, *v.shape[1:])) for v in vectors),
        )

    return wrap


def in_memory(X, *vectors):
    return (X, *vectors)


def csr(X, *vectors):
    return (sp.csr_array(X), *vectors)


def csr_blocks(X, *vectors):
    dense, *rest = chunked(lambda n: (n // 3, n - n // 3), lambda d: d)(X, *vectors)
    return (dense.map_blocks(sp.csr_matrix), *rest)


LAYOUTS = {
    "numpy": in_memory,
    "one chunk": chunked(lambda n: (n,), lambda d: d),
    "even chunks": chunked(lambda n: -(-n // 4), lambda d: d),
    "uneven chunks": chunked(lambda n: (n // 2, n // 7, n - n // 2 - n // 7), lambda d: d),
    "empty and one-row chunks": chunked(lambda n: (0, 1, n // 2, 0, 0, 1, n - n // 2 - 2, 0), lambda d: d),
    "column chunks": chunked(lambda n: -(-n // 3), lambda d: -(-d // 2)),
    "csr": csr,
    "dask of csr": csr_blocks,
}
