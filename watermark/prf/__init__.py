"""Pseudorandom functions of (key, context, token), one a file, over whole vocabularies and many keys at once."""
