"""The rows of a block, fold by fold and piece by piece."""

import numpy as np
import pytest
import scipy.sparse as sp

from dask_gd.kernels.folds import RUN_ROWS, fold_pieces, whole_folds
from dask_gd.protocol import Block

N = 3 * RUN_ROWS
RANDOM = np.random.default_rng(0).integers(0, 5, N)
LAYOUTS = {
    "one fold": np.full(N, 3),
    "long runs": np.repeat([4, 0, 2], RUN_ROWS),
    "mixed": RANDOM,
    "mixed between long runs": np.concatenate(
        [np.full(RUN_ROWS, 1), RANDOM[:700], np.full(RUN_ROWS + 5, 0), RANDOM[:9]]
    ),
    "short runs": np.repeat(np.arange(6) % 5, 11),
    "one row": np.array([2]),
    "none": np.zeros(0, dtype=int),
}


def block_of(fold, sparse, dtype=np.float32):
    n = len(fold)
    X = np.arange(3.0 * n).reshape(n, 3).astype(dtype) + 1
    y, weight = np.arange(n) + 0.5, np.arange(n) * 2.0
    return Block(7, sp.csr_array(X) if sparse else X, y, weight, fold=fold.astype(np.int8))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("cut", [fold_pieces, whole_folds])
def test_every_row_is_in_one_piece_of_its_fold(cut, name, sparse):
    block = block_of(LAYOUTS[name], sparse)
    seen = []
    for fold, piece in cut(block) if block.n_rows or cut is fold_pieces else ():
        rows = (piece.y - 0.5).astype(int)
        X = piece.X.toarray() if sparse else piece.X
        np.testing.assert_array_equal(X, np.arange(3)[None] + 3.0 * rows[:, None] + 1)
        np.testing.assert_array_equal(piece.weight, 2.0 * rows)
        assert piece.index == 7
        assert (block.fold[rows] == fold).all()
        seen += rows.tolist()
    assert sorted(seen) == list(range(block.n_rows))


def test_long_runs_are_not_copied():
    block = block_of(LAYOUTS["mixed between long runs"], sparse=False)
    lengths = {piece.n_rows for _, piece in fold_pieces(block) if np.shares_memory(piece.X, block.X)}
    assert {RUN_ROWS, RUN_ROWS + 5} <= lengths
    copied = sum(piece.n_rows for _, piece in fold_pieces(block) if not np.shares_memory(piece.X, block.X))
    assert copied <= 709
