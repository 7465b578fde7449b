"""LightGBM's model text as plain arrays, checked before anything is computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from overdue_ml.errors import ModelError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Bits of LightGBM's decision type.
CATEGORICAL, DEFAULT_LEFT, _MISSING_SHIFT = 1, 2, 2
#: What LightGBM takes for a missing number at a split.
NO_MISSING, ZERO_IS_MISSING, NAN_IS_MISSING = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree; a child below zero is the leaf with the number ``-1 - child``.

    Attributes
    ----------
    feature, decision, left, right : ndarray of int64, shape (n_nodes,)
    threshold : ndarray of float64, shape (n_nodes,)
    node_count : ndarray of float64, shape (n_nodes,)
        Training rows that came through.
    leaf_value, leaf_count : ndarray of float64, shape (n_nodes + 1,)
    categories : tuple of tuple of int
        Of each categorical split the category codes that go left; ``threshold`` holds its number.
    """

    feature: IntArray
    decision: IntArray
    left: IntArray
    right: IntArray
    threshold: FloatArray
    node_count: FloatArray
    leaf_value: FloatArray
    leaf_count: FloatArray
    categories: tuple[tuple[int, ...], ...]

    def is_categorical(self, node: int) -> bool:
        """Whether a node asks for a set of categories."""
        return bool(self.decision[node] & CATEGORICAL)

    def missing(self, node: int) -> tuple[int, bool]:
        """What is missing at a node of numbers, and whether that goes left."""
        kind = int(self.decision[node]) >> _MISSING_SHIFT & 3
        return kind, kind != NO_MISSING and bool(self.decision[node] & DEFAULT_LEFT)

    @property
    def expected_value(self) -> float:
        """Mean leaf value over the training rows: where LightGBM starts the sum of a tree."""
        if len(self.leaf_value) == 1:
            return float(self.leaf_value[0])
        # One after the other, as LightGBM does: the same bits.
        return float(np.add.accumulate(self.leaf_count / self.node_count[0] * self.leaf_value)[-1])


def read_trees(text: str) -> tuple[int, list[Tree]]:
    """Number of features and trees of a model with one output.

    Parameters
    ----------
    text : str
        As written by ``Booster.model_to_string()`` or ``Booster.save_model()``.

    Returns
    -------
    n_features : int
    trees : list of Tree

    Raises
    ------
    ModelError
        If it is no LightGBM model, has several outputs or linear leaves, or its trees do not hold together.
    """
    blocks = list(_blocks(text))
    if not blocks or "max_feature_idx" not in blocks[0]:
        raise _unreadable("it is not the text of a LightGBM model")
    head = blocks[0]
    if head.get("num_tree_per_iteration", "1") != "1":
        raise ModelError(
            "exact contributions by tables need a model with one output",
            expected="num_tree_per_iteration=1",
            next_step="explain it with LightGBM's pred_contrib",
        )
    try:
        n_features = int(head["max_feature_idx"]) + 1
        trees = [_tree(block) for block in blocks[1:]]
        # A cut file would be a shorter model without an error.
        if len(trees) != len(head["tree_sizes"].split()) or "\nend of trees" not in text:
            raise ValueError("trees are missing")
        for tree in trees:
            _check(tree, n_features)
    except (KeyError, ValueError, IndexError) as error:
        raise _unreadable(str(error)) from error
    return n_features, trees


def _unreadable(why: str) -> ModelError:
    return ModelError(
        f"the text of the model cannot be read: {why}", expected="the text that LightGBM writes",
        next_step="write it again with Booster.model_to_string()",
    )  # fmt: skip


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """The head and then each tree, as names and what is written behind them."""
    block: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith(("Tree=", "end of trees")):
            yield block
            block = {}
            if line.startswith("end"):
                return
        name, equals, value = line.partition("=")
        if equals:
            block[name] = value.strip()
    yield block


def _tree(block: Mapping[str, str]) -> Tree:
    if block.get("is_linear", "0") != "0":
        raise ModelError(
            "a tree has linear leaves, which have no contributions by tables",
            where=f"tree {block.get('Tree')}",
            next_step="train without linear_tree",
        )
    n = int(block["num_leaves"]) - 1
    if n < 0:
        raise ValueError("a tree without leaves")
    whole = {
        name: _numbers(block, key, n, np.int64)
        for name, key in (("feature", "split_feature"), ("decision", "decision_type"),
                          ("left", "left_child"), ("right", "right_child"))
    }  # fmt: skip
    categories: list[tuple[int, ...]] = []
    if int(block.get("num_cat", "0")) > 0:
        bounds = [int(v) for v in block["cat_boundaries"].split()]
        words = [int(v) for v in block["cat_threshold"].split()]
        if bounds[-1] != len(words) or len(bounds) != int(block["num_cat"]) + 1:
            raise ValueError("cat_threshold and cat_boundaries differ")
        for start, stop in pairwise(bounds):
            bits = [
                32 * i + bit for i, w in enumerate(words[start:stop]) for bit in range(32) if w >> bit & 1
            ]
            categories.append(tuple(bits))
    return Tree(
        **whole,
        threshold=_numbers(block, "threshold", n, np.float64),
        node_count=_numbers(block, "internal_count", n, np.float64),
        leaf_value=_numbers(block, "leaf_value", n + 1, np.float64),
        # The counts of a tree without splits are of no use, and older models leave them out.
        leaf_count=_numbers(block, "leaf_count", n + 1, np.float64) if n else np.ones(1),
        categories=tuple(categories),
    )


def _numbers(block: Mapping[str, str], key: str, n: int, dtype: type) -> npt.NDArray[Any]:
    values = block[key].split() if n else []
    if len(values) != n:
        raise ValueError(f"{key} has {len(values)} values, not {n}")
    return np.array(values, dtype=dtype)


def _check(tree: Tree, n_features: int) -> None:
    """Every node and leaf hangs in the tree once, and every number can be used."""
    n = len(tree.feature)
    children = np.sort(np.concatenate([tree.left, tree.right]))
    if n and not np.array_equal(children, np.r_[np.arange(-n - 1, 0), np.arange(1, n)]):
        raise ValueError("the nodes of a tree do not hang together")
    # LightGBM gives a child a higher number than its parent: no circle is possible.
    for child in (tree.left, tree.right):
        if np.any((child >= 0) & (child <= np.arange(n))):
            raise ValueError("a node of a tree stands before its parent")
    if n and (tree.feature.min() < 0 or tree.feature.max() >= n_features):
        raise ValueError("a split uses a feature that the model does not have")
    if n and (tree.node_count.min() <= 0 or tree.leaf_count.min() < 0):
        raise ValueError("a node has no training rows")
    if not np.isfinite(tree.leaf_value).all() or np.isnan(tree.threshold).any():
        raise ValueError("a leaf value or a threshold is not a number")
    chosen = [int(tree.threshold[i]) for i in range(n) if tree.is_categorical(i)]
    if any(not 0 <= number < len(tree.categories) for number in chosen):
        raise ValueError("a split has no categories")
