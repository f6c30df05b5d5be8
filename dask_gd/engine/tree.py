"""Adding in a fixed binary tree over the block index, so that who computed what, and when, changes no bit.

Node (level, i) is the sum of leaves i·2^level … (i+1)·2^level - 1; a node without a right sibling is passed up as it
is. Whoever holds two siblings may add them, in this order and no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

Nodes: TypeAlias = dict[tuple[int, int], Any]


class Tree:
    """A partial sum: nodes that still wait for their sibling.

    Parameters
    ----------
    n_leaves : int
        Blocks in all.
    """

    def __init__(self, n_leaves: int) -> None:
        self.n_leaves = n_leaves
        self.height = max(n_leaves - 1, 0).bit_length()
        self.nodes: Nodes = {}

    def add(self, level: int, index: int, value: Any) -> None:
        """Add a node, joining it with its sibling as far up as siblings are there."""
        while level < self.height:
            if index % 2 == 0 and (index + 1) << level >= self.n_leaves:
                pass  # no right sibling will ever come
            else:
                sibling = self.nodes.pop((level, index ^ 1), None)
                if sibling is None:
                    break
                value = sibling + value if index % 2 else value + sibling
            level, index = level + 1, index // 2
        self.nodes[level, index] = value

    def update(self, nodes: Nodes) -> None:
        """Add all nodes of another partial sum."""
        for (level, index), value in nodes.items():
            self.add(level, index, value)

    @property
    def root(self) -> Any:
        """The sum of all leaves."""
        if set(self.nodes) != {(self.height, 0)}:
            raise ValueError(f"{self.n_leaves} leaves were expected, but only nodes {sorted(self.nodes)} are there")
        return self.nodes[self.height, 0]


def merge(n_leaves: int, parts: Iterable[Nodes]) -> Nodes:
    """Join partial sums as far as their nodes are siblings."""
    tree = Tree(n_leaves)
    for nodes in parts:
        tree.update(nodes)
    return tree.nodes
