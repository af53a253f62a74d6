"""Every config of the zoo, trained for two steps and evaluated on miniatures of its data sets."""
