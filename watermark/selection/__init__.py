"""Marks for models that can only be asked: of several answers the one that a key likes best is given."""
