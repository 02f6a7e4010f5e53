"""The schemes, one a file: each marks and scores."""
