"""Attacks on the running guard."""
