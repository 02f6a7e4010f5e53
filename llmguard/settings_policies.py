"""What a policy may say, as frozen models: what it admits, limits, reduces, watches and marks."""

from typing import Literal, Self

from pydantic import Field, model_validator

from llmguard.settings_embeddings import Reduced
from llmguard.settings_frozen import Frozen
from llmguard.settings_similarity import SimilarityAnswers
from llmguard.settings_values import Seconds

EndpointName = Literal[
    "chat",
    "completions",
    "responses",
    "models",
    "embeddings",
    "vector_stores",
    "similarity",
    "rerank",
    "classify",
]
Response = Literal["throttle", "challenge", "degrade", "block"]
Parameter = Literal["refuse", "drop", "allow"]


class Limit(Frozen):
    """A quota. Without `every` it is a lifetime budget (or, for `concurrent`, a level)."""

    per: Literal["key", "user", "tenant", "ip", "global"] = Field(description="Who shares the quota.")
    of: Literal["requests", "tokens", "input_tokens", "output_tokens", "credits", "concurrent"] = Field(
        description="What is counted; tokens are input and output, credits are information given away."
    )
    limit: int = Field(ge=0, le=1 << 53, description="How many of them.")
    every: Seconds | None = Field(default=None, description="The window; without it the quota is never refilled.")
    on: tuple[EndpointName, ...] = Field(default=(), description="The endpoints that count; none named is all.")
    models: tuple[str, ...] = Field(
        default=(), description="The models that count, as names, patterns or @groups; none named is all."
    )
    on_exceed: Literal["refuse", "degrade", "challenge"] = Field(
        default="refuse",
        description="Past it: refuse with 429, answer as `degrade` of the policy says, or ask for a proof of work.",
    )


class Degrade(Frozen):
    """What stands in where a limit with `on_exceed: degrade` is exceeded; it must fit into every limit itself."""

    model: str | None = Field(default=None, description="A cheaper public model of the same task.")
    max_output_tokens: int | None = Field(default=None, ge=1, description="A smaller cap on the answer.")


class Decoding(Frozen):
    """Which sampling parameters a client may choose."""

    deterministic: Literal["refuse", "raise", "allow"] = Field(
        default="refuse", description="Whether greedy decoding is refused, raised to the minima below, or allowed."
    )
    min_temperature: float = Field(default=0.3, ge=0, le=2, description="The least temperature.")
    min_top_p: float = Field(default=0.1, ge=0, le=1, description="The least top_p.")
    min_top_k: int = Field(default=2, ge=1, description="The least top_k.")
    seed: Parameter = Field(default="refuse", description="What becomes of a request's seed.")
    logprobs: Literal["refuse", "drop", "coarse", "allow"] = Field(
        default="refuse",
        description="What becomes of a request for log probabilities; coarse ones are few, noisy and put in buckets. "
        "Never together with logit_bias.",
    )
    logit_bias: Parameter = Field(
        default="refuse", description="What becomes of a request's logit_bias, and of lists of tokens that act like it."
    )
    max_biased_tokens: int = Field(
        default=300,
        ge=0,
        le=1 << 31,
        description="The most tokens that a tenant may bias in a day, where it may.",
    )
    prefill: Literal["refuse", "allow"] = Field(
        default="refuse", description="Whether a client may write the beginning of a chat's answer."
    )
    max_n: int = Field(default=4, ge=1, le=128, description="The most choices in one answer.")
    max_output_tokens: int = Field(default=4096, ge=1, description="The most tokens in one answer.")


class LabelPrivacy(Frozen):
    """Differential privacy of labels: each is the model's own, or any other by keyed chance."""

    epsilon: float = Field(gt=0, le=50, description="The ε of one label: the most that its odds tell of the model's.")
    budget: float = Field(
        gt=0, le=10_000, description="The ε that all labels of a user may add up to; then 429. A repeat adds nothing."
    )
    delta: float = Field(default=1e-6, ge=0, lt=1, description="The δ at which they are added up.")
    every: Seconds | None = Field(default=None, description="The window; without it the budget is never refilled.")


class Outputs(Frozen):
    """How exactly answers are told."""

    scores: Literal["label", "bucket", "rounded", "full"] = Field(
        default="label",
        description="How exact a classifier's scores are: its label alone, low, medium or high, tenths, or full.",
    )
    top_k: int | None = Field(
        default=None, ge=1, le=10_000, description="The most classes with rounded or full scores; they add up to 1."
    )
    smoothing: float = Field(
        default=0.0,
        ge=0,
        le=20,
        description="Up to how many nats apart the two likeliest classes may change places, by keyed chance.",
    )
    privacy: LabelPrivacy | None = Field(default=None, description="Differential privacy, of `scores: label` alone.")
    embeddings: Literal["never", "reduced"] = Field(
        default="never", description="Whether vectors leave, in a reduced form, as `reduced` says."
    )
    reduced: Reduced | None = Field(default=None, description="What is told of vectors, and why.")
    timing_bucket_ms: int = Field(
        default=0,
        ge=0,
        le=60_000,
        description="Answers leave at multiples of this, or a sixteenth of it later; 0 is at once.",
    )
    pad_stream: bool = Field(
        default=False, description="Whether pieces of a stream are padded to one size, whatever the client asks."
    )

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.embeddings == "reduced" and self.reduced is None:
            raise ValueError("embeddings: reduced needs `reduced` beside it, with a reason")
        return self


class Prompts(Frozen):
    """Detection of automated prompt streams."""

    detect: bool = Field(default=True, description="Whether prompt streams are watched.")
    alpha: float = Field(
        default=0.001, gt=0, lt=1, description="The share of honest principals that may ever be flagged."
    )
    respond: tuple[Response, ...] = Field(
        default=("throttle", "challenge", "block"), description="What a flagged principal meets, in rising order."
    )
    automation: Literal["watched", "allowed"] = Field(
        default="watched", description="Whether this policy is meant for programs, whose prompts are alike by nature."
    )


class Selection(Frozen):
    """The mark of models that only sample: of several candidates the answer is picked by the tenant's key.

    It is evidence about a corpus of thousands of answers, never about one.
    """

    fraction: float = Field(
        default=0.1, ge=0, le=1, description="The share of answers that are picked; each costs all its candidates."
    )
    candidates: int = Field(default=2, ge=2, le=16, description="Of how many an answer is picked.")
    streaming: Literal["unmarked", "whole", "segments"] = Field(
        default="unmarked",
        description="A streamed answer, which cannot be picked word by word: leave it as it is; send it whole, when it "
        "is there; or pick segment after segment, where the upstream continues a prefix (else whole).",
    )
    segment_tokens: int = Field(default=64, ge=16, le=4096, description="The tokens of a segment.")


class Watermark(Frozen):
    """The statistical mark in generated text."""

    scheme: Literal["gumbel", "kgw", "unigram", "synthid", "none"] = Field(
        default="gumbel",
        description="How text is marked: gumbel, by embedded models, by engine sglang, and by engine vllm with "
        "`watermark_plugin`; unigram, where the model's `vocabulary` is given, by its logit_bias. The others are "
        "detected and not made.",
    )
    context_width: int = Field(
        default=4,
        ge=1,
        le=8,
        description="How many tokens back the mark of a token depends on; engine sglang always 4.",
    )
    epoch: int = Field(default=1, ge=1, le=1 << 31, description="Raised, it marks with new keys from then on.")
    fraction: float = Field(default=1.0, ge=0, le=1, description="The share of answers that carry the mark.")
    selection: Selection | None = Field(
        default=None, description="How text is marked where the upstream can do nothing but sample."
    )
    biased_tokens: int = Field(
        default=300, ge=1, le=1 << 20, description="With unigram, the most tokens in logit_bias; OpenAI takes 300."
    )
    remember: Seconds | None = Field(
        default=None,
        description="How long keyed hashes of some phrases of every answer are kept, by which a text can be traced to "
        "its request. Without it none are.",
    )


class Policy(Frozen):
    """What a key may do."""

    models: tuple[str, ...] = Field(
        default=("*",), description="The models that may be used, as names or shell patterns."
    )
    endpoints: tuple[EndpointName, ...] = Field(
        default=("chat", "completions", "responses", "models", "vector_stores", "similarity", "rerank", "classify"),
        description="The endpoints that may be used; one that is not named is 403.",
    )
    limits: tuple[Limit, ...] = Field(default=(), description="Quotas; all are checked together and the tightest wins.")
    degrade: Degrade | None = Field(default=None, description="What stands in past a limit with `on_exceed: degrade`.")
    decoding: Decoding | None = Field(
        default=None, description="Which sampling parameters a client may choose; without it, its defaults hold."
    )
    outputs: Outputs | None = Field(default=None, description="How exactly answers are told.")
    prompts: Prompts | None = Field(default=None, description="Detection of automated prompt streams.")
    watermark: Watermark | None = Field(default=None, description="The statistical mark in generated text.")
    similarity: SimilarityAnswers = Field(
        default=SimilarityAnswers(), description="How much answers about likeness may say."
    )
