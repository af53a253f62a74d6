"""Categories of training data that nobody has counted."""

import numpy as np

from eql_d2.data import CategoryCounts, CategoryGroups, CategoryTable


def trained_on(groups, image_count=None, names=None, rule="a rule", thresholds=(10, 100)):
    names = names or [f"class{i}" for i in range(len(groups))]
    counts = np.array(image_count if image_count is not None else [1] * len(groups))
    table = CategoryCounts(names, list(range(len(groups))), counts)
    return CategoryTable(table, CategoryGroups(list(groups), rule, thresholds))
