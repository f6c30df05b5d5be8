"""Functions of one block: what a sweep runs. Plain sums only, never means, so that blocks add up."""

from .band import BandKernel, BandSums
from .deal import Deal, HoldOut, whole
from .epoch import EpochKernel
from .first import First, FirstKernel
from .folds import EVERYTHING, FoldKernel, FoldSums
from .labels import EncodeLabels
from .left_out import LeaveOneOutKernel, RotatedKernel, TargetSquaresKernel
from .loss import LossKernel
from .moments import Moments, MomentsKernel
from .ranks import Area, Ranks, merge_ranks
from .sample import Sample, SampleKernel
from .score import Accuracy, Explained, ScoreKernel, ScoreSums, squared_errors
from .splits import CLASS_NUMBER, HeldOutKernel, JudgedModel, Split, SplitLossKernel, Unjudged, WithoutKernel
from .spread import Spread, SpreadKernel
from .squares import Squares, SquaresKernel
from .together import Together

__all__ = [
    "CLASS_NUMBER",
    "EVERYTHING",
    "Accuracy",
    "Area",
    "BandKernel",
    "BandSums",
    "Deal",
    "EncodeLabels",
    "EpochKernel",
    "Explained",
    "First",
    "FirstKernel",
    "FoldKernel",
    "FoldSums",
    "HeldOutKernel",
    "HoldOut",
    "JudgedModel",
    "LeaveOneOutKernel",
    "LossKernel",
    "Moments",
    "MomentsKernel",
    "Ranks",
    "RotatedKernel",
    "Sample",
    "SampleKernel",
    "ScoreKernel",
    "ScoreSums",
    "Split",
    "SplitLossKernel",
    "Spread",
    "SpreadKernel",
    "Squares",
    "SquaresKernel",
    "TargetSquaresKernel",
    "Together",
    "Unjudged",
    "WithoutKernel",
    "merge_ranks",
    "squared_errors",
    "whole",
]
