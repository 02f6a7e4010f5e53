"""Plain text from files that nobody trusts."""
