import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from watermark.detector import Detector
from watermark.engines.transformers import MarkingProcessor
from watermark.marker import Marker, Marking
from watermark.schemes.gumbel import Vllm

KEYS = np.array([[11], [12]], np.uint64)
PROMPT = torch.tensor([[1, 2, 3], [4, 5, 6]])


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def processor() -> MarkingProcessor:
    generator = np.random.default_rng(3)
    return MarkingProcessor(lambda: Marker(Marking(Vllm()), KEYS[0], generator))


def generate(model: LlamaForCausalLM, processors: LogitsProcessorList, tokens: int) -> np.ndarray:
    found = model.generate(
        PROMPT,
        attention_mask=torch.ones_like(PROMPT),
        max_new_tokens=tokens,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        logits_processor=processors,
    )
    return found[:, PROMPT.shape[1] :].numpy()


def test_generated_rows_are_marked_each_under_its_key_alone(model: LlamaForCausalLM):
    processors = LogitsProcessorList([TemperatureLogitsWarper(0.9), TopPLogitsWarper(0.95), processor()])
    rows = generate(model, processors, 60)
    assert rows[0].tolist() != rows[1].tolist()
    for row in rows:
        mine, other = Detector(Vllm(), KEYS).log_p(row)
        assert mine < np.log(1e-12)
        assert other > np.log(1e-4)


def test_only_the_drawn_token_is_left(model: LlamaForCausalLM):
    scores = processor()(PROMPT, torch.randn(2, 256))
    assert torch.isfinite(scores).sum(dim=1).tolist() == [1, 1]


def test_another_generation_is_refused(model: LlamaForCausalLM):
    again = processor()
    generate(model, LogitsProcessorList([again]), 5)
    with pytest.raises(ValueError, match="one processor serves one"):
        generate(model, LogitsProcessorList([again]), 5)
