"""Functions of one block: what a sweep runs. Plain sums only, never means, so that blocks add up."""

from .band import BandKernel, BandSums
from .deal import Deal, HoldOut, whole
from .epoch import EpochKernel
from .first import First, FirstKernel
from .labels import EncodeLabels
from .left_out import JudgedSquaresKernel, LeaveOneOutKernel, RotatedKernel
from .loss import LossKernel
from .moments import Moments, MomentsKernel
from .sample import Sample, SampleKernel
from .score import ScoreKernel, ScoreSums
from .spread import Spread, SpreadKernel
from .squares import FoldSquares, Squares, SquaresKernel
from .together import Together

__all__ = [
    "BandKernel",
    "BandSums",
    "Deal",
    "EncodeLabels",
    "EpochKernel",
    "First",
    "FirstKernel",
    "FoldSquares",
    "HoldOut",
    "JudgedSquaresKernel",
    "LeaveOneOutKernel",
    "LossKernel",
    "Moments",
    "MomentsKernel",
    "RotatedKernel",
    "Sample",
    "SampleKernel",
    "ScoreKernel",
    "ScoreSums",
    "Spread",
    "SpreadKernel",
    "Squares",
    "SquaresKernel",
    "Together",
    "whole",
]
