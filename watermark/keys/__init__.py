"""Whose mark it is: keys derived from one secret, their records, and what a verifier is given."""
