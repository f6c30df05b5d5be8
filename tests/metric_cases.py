"""Predictions of every kind, cut in every way, and what a metric has to say of them."""

import math
import warnings

import dask.array as da
import numpy as np

N = 203
AVERAGES = ("macro", "micro", "weighted", None)
STRINGS = np.array(["ant", "bee", "cicada"])


def data(kind):
    """True values and predictions of a kind."""
    rng = np.random.default_rng(7)
    binary, three = rng.integers(0, 2, N), rng.integers(0, 3, N)
    with_errors = np.where(rng.random(N) < 0.7, three, rng.integers(0, 3, N))
    scores = np.round(0.6 * rng.random(N) + 0.3 * binary + 0.05, 2)  # with ties
    y = rng.normal(3, 2, (N, 2))
    predicted = y + rng.normal(0, 1, (N, 2))
    return {
        "binary labels": (binary, np.where(rng.random(N) < 0.8, binary, 1 - binary)),
        "labels": (three * 10 - 5, with_errors * 10 - 5),
        "bools": (binary == 1, scores > 0.5),
        "whole floats": (three.astype(float), with_errors.astype(float)),
        "strings": (STRINGS[three], STRINGS[with_errors]),
        "objects": (STRINGS[three].astype(object), STRINGS[with_errors].astype(object)),
        "probability": (binary, scores),
        "probability of strings": (STRINGS[binary], scores),
        "probabilities": (three, rng.dirichlet(np.ones(3), N)),
        "probabilities of strings": (STRINGS[three], rng.dirichlet(np.ones(3), N)),
        "pair of probabilities": (binary, np.stack([1 - scores, scores], axis=1)),
        "single precision": (binary, scores.astype(np.float32)),
        "numbers": (y[:, 0], predicted[:, 0]),
        "targets": (y, predicted),
        "positive": (np.exp(y[:, 0] / 3), np.exp(predicted[:, 0] / 3)),
        "counts": (rng.poisson(0.7, N), np.exp(predicted[:, 0] / 3)),
    }[kind]


LABELS = ("labels", "bools", "whole floats", "strings", "objects")
CASES = [  # function, parameters, kind of data
    *(("accuracy_score", {}, kind) for kind in LABELS),
    ("accuracy_score", {"normalize": False}, "labels"),
    *(("balanced_accuracy_score", {"adjusted": flag}, kind) for flag in (False, True) for kind in LABELS),
    *(("confusion_matrix", {"normalize": how}, kind) for how in (None, "true", "pred", "all") for kind in LABELS),
    ("confusion_matrix", {"labels": [15, 5, -5]}, "labels"),
    ("confusion_matrix", {"labels": ["cicada", "dragonfly"]}, "strings"),
    *((f"{name}_score", {"average": a}, kind) for name in ("precision", "recall", "f1") for a in AVERAGES
      for kind in ("labels", "strings")),
    *((f"{name}_score", {}, kind) for name in ("precision", "recall", "f1") for kind in ("binary labels", "bools")),
    ("f1_score", {"pos_label": 0}, "binary labels"),
    ("f1_score", {"labels": [5, 15], "average": "macro"}, "labels"),
    ("f1_score", {"labels": [5, 77], "average": None, "zero_division": 1.0}, "labels"),
    ("f1_score", {"labels": [77, 5], "average": "weighted", "zero_division": np.nan}, "labels"),
    *(("fbeta_score", {"beta": b, "average": "macro"}, "labels") for b in (0, 0.5, 2, np.inf)),
    *(("precision_recall_fscore_support", {"average": a}, "labels") for a in AVERAGES),
    *(("log_loss", {"normalize": flag}, kind) for flag in (True, False)
      for kind in ("probability", "probability of strings", "probabilities", "probabilities of strings",
                   "pair of probabilities")),
    ("log_loss", {"labels": [0, 1, 2]}, "probabilities"),
    *(("brier_score_loss", {}, kind) for kind in ("probability", "probabilities", "pair of probabilities")),
    *(("brier_score_loss", {"pos_label": 0, "scale_by_half": flag}, "probability") for flag in (True, False, "auto")),
    ("brier_score_loss", {"pos_label": "bee"}, "probability of strings"),
    ("brier_score_loss", {"labels": ["ant", "bee", "cicada"]}, "probabilities of strings"),
    *(("d2_log_loss_score", {}, kind) for kind in ("probability", "probabilities", "probabilities of strings")),
    *(("roc_auc_score", {"max_fpr": limit}, kind) for limit in (None, 0.01, 0.37, 1.0)
      for kind in ("probability", "probability of strings", "single precision")),
    *(("roc_auc_score", {"multi_class": "ovr", "average": a}, kind) for a in AVERAGES
      for kind in ("probabilities", "probabilities of strings")),
    *(("roc_auc_score", {"multi_class": "ovo", "average": a}, "probabilities") for a in ("macro", "weighted")),
    *((name, {"multioutput": how}, kind)
      for name in ("mean_squared_error", "root_mean_squared_error", "mean_absolute_error",
                   "mean_absolute_percentage_error", "mean_pinball_loss", "r2_score", "explained_variance_score")
      for how, kind in (("uniform_average", "numbers"), ("raw_values", "numbers"), ("uniform_average", "targets"),
                        ("raw_values", "targets"), ([0.3, 0.7], "targets"))),
    *((name, {"multioutput": "variance_weighted"}, "targets") for name in ("r2_score", "explained_variance_score")),
    *(("mean_pinball_loss", {"alpha": alpha}, "numbers") for alpha in (0.0, 0.1, 1.0)),
    ("max_error", {}, "numbers"),
    *((name, {"power": p}, "positive") for name in ("mean_tweedie_deviance", "d2_tweedie_score")
      for p in (-1.5, 0, 1, 1.5, 2, 3)),
    *((name, {"power": p}, "counts") for name in ("mean_tweedie_deviance", "d2_tweedie_score") for p in (0, 1, 1.7)),
    ("mean_poisson_deviance", {}, "counts"),
    ("mean_gamma_deviance", {}, "positive"),
]  # fmt: skip
IDS = [f"{name}-{parameters}-{kind}" for name, parameters, kind in CASES]


def weights():
    rng = np.random.default_rng(3)
    return rng.integers(0, 4, N) * rng.random(N)


def chunked(rows):
    def wrap(v):
        return None if v is None else da.from_array(v, chunks=(rows, *v.shape[1:]))

    return wrap


def unknown(v):
    """The lengths of the chunks are not known, until they are computed."""
    if v is None:
        return None
    lazy = da.from_array(v, chunks=(-(-N // 3), *v.shape[1:]))
    lazy._chunks = ((math.nan,) * lazy.numblocks[0], *lazy.chunks[1:])
    return lazy


CUTS = {
    "in memory": lambda y, p, w: (y, p, w),
    "one chunk": lambda y, p, w: map(chunked(N), (y, p, w)),
    "uneven and empty chunks": lambda y, p, w: map(chunked((0, 1, 80, 0, 1, 121)), (y, p, w)),
    "one-row chunks": lambda y, p, w: map(chunked((1,) * 7 + (N - 7,)), (y, p, w)),
    "chunks of their own": lambda y, p, w: (chunked(50)(y), chunked(71)(p), chunked(N)(w)),
    "unknown lengths": lambda y, p, w: map(unknown, (y, p, w)),
    "y in memory": lambda y, p, w: (y, chunked(60)(p), w),
    "y in memory, unknown lengths": lambda y, p, w: (y, unknown(p), w),
    "predictions in memory": lambda y, p, w: (chunked(60)(y), p, chunked(60)(w)),
    "predictions in memory, unknown lengths": lambda y, p, w: (unknown(y), p, unknown(w)),
}


def flat(value):
    parts = value if isinstance(value, tuple) else (value,)
    return np.concatenate([np.ravel(np.asarray(part, dtype=float)) for part in parts if part is not None])


def close(found, wanted, rtol=1e-12):
    assert type(found) is type(wanted) or isinstance(found, float)
    np.testing.assert_allclose(flat(found), flat(wanted), rtol=rtol, atol=1e-14)


class Loads:
    """Counts how often a chunk is made."""

    def __init__(self):
        self.count = 0

    def array(self, v, rows):
        def load(block):
            self.count += 1
            return block

        return da.from_array(v, chunks=(rows, *v.shape[1:])).map_blocks(load, dtype=v.dtype, meta=v[:0])


def words(function, *arguments, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*arguments, **parameters)
        except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
            return error
