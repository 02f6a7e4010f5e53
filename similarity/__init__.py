"""Similarity search that answers questions and never gives out a vector."""
