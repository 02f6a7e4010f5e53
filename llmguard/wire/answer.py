"""What comes back from a model: a whole answer, or the chunks of a stream."""

from typing import TypeAlias

from llmguard.wire.chat_answer import ChatChunk, ChatCompletion
from llmguard.wire.completions import Completion

Event: TypeAlias = ChatCompletion | ChatChunk | Completion
"""A whole answer or one chunk of it. A streamed text completion's chunk is a Completion, too."""
