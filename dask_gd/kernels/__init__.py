"""Functions of one block: what a sweep runs. Plain sums only, never means, so that blocks add up."""

from .band import BandKernel, BandSums
from .first import First, FirstKernel
from .labels import EncodeLabels
from .loss import LossKernel
from .moments import Moments, MomentsKernel
from .sample import Sample, SampleKernel
from .score import ScoreKernel, ScoreSums
from .squares import FoldSquares, Squares, SquaresKernel

__all__ = [
    "BandKernel",
    "BandSums",
    "EncodeLabels",
    "First",
    "FirstKernel",
    "FoldSquares",
    "LossKernel",
    "Moments",
    "MomentsKernel",
    "Sample",
    "SampleKernel",
    "ScoreKernel",
    "ScoreSums",
    "Squares",
    "SquaresKernel",
]
