"""Detection of automated prompt streams."""
