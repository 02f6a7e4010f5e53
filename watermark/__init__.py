"""Statistical watermarks on generated text: marking, detecting, tracing."""
