"""The generated data sets and the side-by-side demo: all that is not the product."""
