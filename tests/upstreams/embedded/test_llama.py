from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from llmguard.upstreams.embedded.chat_model import ChatModel
from llmguard.upstreams.embedded.convert import Gguf
from llmguard.upstreams.embedded.llama import Llama
from llmguard.upstreams.embedded.matrix import Dense, Int4, Int8, to_int4, to_int8

TOKENS = torch.tensor([[1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 28, 7018, 411, 407, 19712]])


@pytest.fixture(scope="module")
def reference(gguf: Gguf) -> Llama:
    """The float32 weights in our own forward pass."""
    return Llama(gguf.config(), gguf.weights())


@pytest.fixture(scope="module")
def transformers_logits(gguf_path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """transformers' model, with the weights as transformers reads them out of the same file."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    model = LlamaForCausalLM(LlamaConfig(**load_gguf_checkpoint(gguf_path)["config"]))
    loaded = load_gguf_checkpoint(gguf_path, return_tensors=True, model_to_load=model)
    missing, unexpected = model.load_state_dict(loaded["tensors"], strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    model.tie_weights()

    @torch.inference_mode()
    def logits(tokens: torch.Tensor) -> torch.Tensor:
        return model.eval()(tokens).logits[:, -1]

    return logits


def test_logits_are_those_of_transformers(reference: Llama, transformers_logits):
    found = reference.forward(TOKENS, reference.cache(64))
    torch.testing.assert_close(found, transformers_logits(TOKENS), atol=2e-3, rtol=1e-4)


def test_reading_in_pieces_is_reading_at_once(reference: Llama):
    whole = reference.forward(TOKENS, reference.cache(64))
    cache = reference.cache(64)
    for piece in TOKENS.split([4, 1, 7, 3], dim=1):
        last = reference.forward(piece, cache)
    torch.testing.assert_close(last, whole, atol=2e-3, rtol=1e-4)


def test_rows_of_a_batch_do_not_see_each_other(reference: Llama):
    cache = reference.cache(64)
    reference.forward(TOKENS, cache)
    steps = torch.tensor([[30], [31], [32]])
    together = reference.forward(steps, cache.repeated(3).kept([0, 1, 2]))
    for row, step in enumerate(steps):
        alone = reference.forward(step[None], cache.repeated(1))
        torch.testing.assert_close(together[row : row + 1], alone, atol=2e-3, rtol=1e-4)


def test_the_compressed_model_gives_nearly_the_same_distributions(reference: Llama, model: ChatModel):
    exact_cache, small_cache, divergences = reference.cache(64), model.llama.cache(64), []
    for token in TOKENS[0]:
        exact = reference.forward(token.view(1, 1), exact_cache).double().log_softmax(-1)
        small = model.llama.forward(token.view(1, 1), small_cache).double().log_softmax(-1)
        divergences.append(float((exact.exp() * (exact - small)).sum()))
    # In nats; the 4 bits of the file itself cost more than ten times that.
    assert sum(divergences) / len(divergences) < 0.01


def test_int8_is_within_half_a_step_and_its_product_right():
    weight = torch.randn(64, 96, generator=torch.Generator().manual_seed(1))
    steps, scale = to_int8(weight)
    int8 = Int8(steps, scale)
    rows = int8.rows(torch.arange(64))
    # The scale is rounded to bfloat16 before the steps are, so only the largest may exceed half.
    assert ((rows - weight).abs() <= scale.float().unsqueeze(1) * 1.01).all()
    x = torch.randn(3, 96, generator=torch.Generator().manual_seed(2)).bfloat16()
    torch.testing.assert_close(int8(x).float(), Dense(rows)(x.float()), atol=0.1, rtol=0.02)


def test_the_largest_logits_are_exact():
    generator = torch.Generator().manual_seed(1)
    int8 = Int8(*to_int8(torch.randn(2000, 96, generator=generator)))
    x = torch.randn(3, 96, generator=generator)
    exact = Dense(int8.rows(torch.arange(2000)))(x)
    top = exact.topk(100).indices
    torch.testing.assert_close(int8.logits(x).gather(1, top), exact.gather(1, top), atol=1e-4, rtol=1e-5)


def test_int4_is_within_half_a_step_and_its_product_right():
    weight = torch.randn(64, 96, generator=torch.Generator().manual_seed(1))
    steps, groups = to_int4(weight)
    scale, middle = groups.float().transpose(0, 1).unsqueeze(-1).unbind(2)
    rows = ((steps.view(64, 3, 32).float() - 8) * scale + middle).view(64, 96)
    assert ((rows - weight).abs().view(64, 3, 32) <= scale * 0.6).all()
    x = torch.randn(3, 96, generator=torch.Generator().manual_seed(2)).bfloat16()
    torch.testing.assert_close(Int4(steps, groups)(x).float(), Dense(rows)(x.float()), atol=0.1, rtol=0.02)


def test_int4_keeps_the_files_own_steps(gguf: Gguf):
    weight = gguf.weights()["0.output"]
    steps, groups = to_int4(weight)
    scale, middle = groups.float().transpose(0, 1).unsqueeze(-1).unbind(2)
    rows = ((steps.view(576, -1, 32).float() - 8) * scale + middle).view(576, 576)
    assert ((rows - weight).norm() / weight.norm()) < 0.005
