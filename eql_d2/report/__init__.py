"""See a training: figures and one page of a run, or of several side by side."""
