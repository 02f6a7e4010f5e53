"""Vectors as far as a reader needs them: reduced, noisy, in a tenant's own axes, and marked."""
