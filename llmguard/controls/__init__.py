"""The controls, one a file. Their order stands in `llmguard.app`, where they are built."""
