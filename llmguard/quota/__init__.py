"""Quotas: which limits hold for a request, what it may take of them, and what it took."""
