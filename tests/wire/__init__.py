"""The wire shapes, one test module each."""
