"""The verification command: `llmguard watermark`, also `python -m watermark`."""
