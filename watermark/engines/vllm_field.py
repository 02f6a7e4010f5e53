"""How a request to vLLM names its key, for whoever sends it and for the processors that read it. Pure."""

FIELD = "llmguard_watermark"
"""In the request's `vllm_xargs`, which processors see as `extra_args`."""


def word(key: int, width: int) -> str:
    """The field's value: a key of 64 bits in hex and the context's width."""
    return f"{key:016x}:{width}"
