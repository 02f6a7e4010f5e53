"""Outputs: how exactly an answer that is no text is told."""
