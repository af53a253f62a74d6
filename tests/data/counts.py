"""What the tests ask of the counts of training data."""

from eql_d2.data import category_table


def image_count(dataset_names):
    return category_table(dataset_names).counts.image_count
