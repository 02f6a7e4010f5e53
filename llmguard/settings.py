"""The settings as frozen models; those of a policy are `settings_policies`. What reads them is `settings_file`.

Unknown keys are refused everywhere: a misspelt protection must not be a missing one.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer

from llmguard.settings_frozen import Frozen
from llmguard.settings_policies import Policy
from llmguard.settings_samples import SampleSettings
from llmguard.settings_similarity import SimilaritySettings
from llmguard.settings_values import (
    ENV_NOTE,
    LOCAL_STORES,
    HttpUrl,
    Id,
    MasterSecret,
    Name,
    Network,
    Seconds,
    StoreUrl,
    Token,
    without_password,
)

Task = Literal["chat", "embedding", "classify", "rerank"]


EMBEDDED_MODELS: dict[str, Task] = {"smollm2-135m-instruct": "chat", "all-minilm-l6-v2": "embedding"}


class Server(Frozen):
    """The listening side."""

    host: str = Field(default="127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="The TCP port to listen on; 0 lets the system choose.")
    workers: int = Field(default=1, ge=1, le=256, description="How many processes serve; more than one needs Redis.")
    max_body_bytes: int = Field(default=262_144, ge=1024, le=1 << 30, description="The largest request body, in bytes.")
    trusted_proxies: tuple[Network, ...] = Field(default=(), description="Whose x-forwarded-for is believed.")
    reload: bool = Field(default=False, description="Whether a change of this file is taken over by itself.")
    drain_s: Seconds = Field(default=30.0, description="How long SIGTERM waits for running answers.")


class StoreSettings(Frozen):
    """Where keys and counters live."""

    url: StoreUrl = Field(
        default="file:./llmguard-data",
        repr=False,
        description="file:DIRECTORY (durable, one process), memory: or a redis://, rediss://, redis+sentinel:// or "
        f"redis+cluster:// URL. {ENV_NOTE}",
    )
    timeout_ms: int = Field(default=50, ge=1, le=60_000, description="How long an answer of the store may take.")
    on_failure: Literal["refuse", "share"] = Field(
        default="refuse",
        description="Without the store: refuse with 503, or give each replica its share of every limit.",
    )
    replicas: int = Field(default=1, ge=1, le=10_000, description="How many guards share the store.")

    @property
    def scheme(self) -> str:
        """What stands before the first colon."""
        return self.url.partition(":")[0]

    @property
    def local(self) -> bool:
        """Whether only one process can use it."""
        return self.scheme in LOCAL_STORES

    @property
    def shown_url(self) -> str:
        """The URL as it may be logged: without its user and password."""
        return without_password(self.url)

    @field_serializer("url")
    def _dump(self, url: str) -> str:
        return without_password(url)


class Alerts(Frozen):
    """Where changes of risk are told, besides the admin API."""

    webhook: HttpUrl | None = Field(default=None, description="A URL that each is posted to, signed; needs `secret`.")
    secret: Token | None = Field(default=None, description=f"What signs them (Standard Webhooks). {ENV_NOTE}")


class Admin(Frozen):
    """The operator's API; without a token it is shut."""

    token: Token | None = Field(default=None, description=f"The bearer token of /admin/v1. {ENV_NOTE}")


class UpstreamSettings(Frozen):
    """A place where models run."""

    connect_timeout_s: Seconds = Field(default=5.0, description="How long a connection may take to be made.")
    timeout_s: Seconds = Field(default=60.0, description="How long an answer, or the next piece of a stream, may take.")
    max_retries: int = Field(default=2, ge=0, le=10, description="Further attempts before the first byte.")


class OpenAIUpstream(UpstreamSettings):
    """Any server that speaks OpenAI's wire."""

    kind: Literal["openai"] = Field(description="Which kind of upstream this is.")
    base_url: HttpUrl = Field(description="The URL up to and with /v1.")
    api_key: Token | None = Field(default=None, description=f"The upstream's key. {ENV_NOTE}")
    engine: Literal["vllm", "sglang", "tgi", "llamacpp", "ollama", "tei", "generic"] = Field(
        default="generic", description="What runs there; decides which extensions of the wire are used."
    )
    watermark_plugin: bool = Field(
        default=False,
        description="Whether a vLLM runs with llmguard's logits processor, which marks under the key of each request.",
    )


class LiteLLMUpstream(UpstreamSettings):
    """Every other provider, through the litellm library."""

    kind: Literal["litellm"] = Field(description="Which kind of upstream this is.")
    api_key: Token | None = Field(default=None, description=f"The provider's key. {ENV_NOTE}")
    api_base: HttpUrl | None = Field(default=None, description="A URL in place of the provider's own.")


class EmbeddedUpstream(UpstreamSettings):
    """The models that ship with the guard."""

    kind: Literal["embedded"] = Field(description="Which kind of upstream this is.")
    max_queue: int = Field(default=16, ge=0, le=10_000, description="How many requests may wait for the model.")


AnyUpstream = Annotated[OpenAIUpstream | LiteLLMUpstream | EmbeddedUpstream, Field(discriminator="kind")]


class Sampling(Frozen):
    """What a model is sampled with where neither the request nor the engine's own defaults say."""

    temperature: float | None = Field(default=None, ge=0, le=2, description="The temperature.")
    top_p: float | None = Field(default=None, ge=0, le=1, description="The nucleus.")
    top_k: int | None = Field(default=None, ge=0, description="The most candidates; 0 is all.")
    min_p: float | None = Field(default=None, ge=0, le=1, description="The least share of the likeliest one.")


class Model(Frozen):
    """A public model: where it really runs, and which public models stand in when it fails."""

    task: Task = Field(description="What the model is for.")
    upstream: str = Field(description="The upstream that runs it.")
    model: Name = Field(description="Its name at the upstream.")
    fallbacks: tuple[str, ...] = Field(
        default=(), description="Public models of the same task that stand in, in this order."
    )
    vocabulary: int | None = Field(
        default=None,
        ge=2,
        le=1 << 24,
        description="The tokens of its tokenizer, where its upstream heeds logit_bias: for the unigram watermark.",
    )
    tokenizer: str | None = Field(
        default=None,
        min_length=1,
        description="What its tokens are counted by: a tokenizer.json file, or cl100k_base or o200k_base, which the "
        "extra `litellm` brings. Without one, requests are bounded by their bytes. Embedded models have their own.",
    )
    labels: tuple[Name, ...] = Field(
        default=(),
        description="A classifier's classes, in the order of its probabilities, which its fallbacks have, too. Without "
        "them the label is null where a policy has labels changed by chance.",
    )
    defaults: Sampling = Field(
        default=Sampling(),
        description="What the model is sampled with where a request says nothing, unless it is its engine's default: "
        "its generation_config.json with vLLM or SGLang. Where that is below a policy's floors, they are sent.",
    )


class Credits(Frozen):
    """What an answer gives away of the model, in credits: not what it costs to make."""

    text: int = Field(default=0, ge=0, le=1_000_000, description="For a text.")
    label: int = Field(default=1, ge=0, le=1_000_000, description="For a label without a score.")
    score: int = Field(default=5, ge=0, le=1_000_000, description="For a score.")
    logit: int = Field(default=20, ge=0, le=1_000_000, description="For a log-probability.")
    embedding: int = Field(default=100, ge=0, le=1_000_000, description="For an embedding.")


class ConfiguredKey(Frozen):
    """A key that stands in the file."""

    id: Id = Field(description="What the key is called in logs and in the admin API.")
    secret: Token = Field(description=f"What the client sends. {ENV_NOTE}")
    user: Id = Field(description="Whose key it is.")
    tenant: Id = Field(description="Which organisation the user belongs to.")
    policy: str = Field(description="The policy that it is under.")


class Settings(Frozen):
    """The configuration of llmguard."""

    mode: Literal["enforce", "observe"] = Field(
        default="enforce", description="Enforce, or decide and record everything and refuse nothing."
    )
    secret: MasterSecret = Field(
        description=f"At least 32 bytes; every other key is derived from it. {ENV_NOTE}",
    )
    server: Server = Field(default=Server(), description="The listening side.")
    store: StoreSettings = Field(default=StoreSettings(), description="Where keys and counters live.")
    admin: Admin = Field(default=Admin(), description="The operator's API; without a token it is shut.")
    alerts: Alerts = Field(default=Alerts(), description="Where changes of risk are told.")
    upstreams: dict[Id, AnyUpstream] = Field(description="The places where models run, by name.")
    models: dict[Name, Model] = Field(description="The public models, by name.")
    groups: dict[Id, tuple[str, ...]] = Field(
        default={}, description="Sets of models, as names or patterns, by a name that limits use as @name."
    )
    credits: Credits = Field(default=Credits(), description="What answers give away of a model.")
    similarity: SimilaritySettings = Field(
        default=SimilaritySettings(), description="Vector stores, similarity and rerank."
    )
    policies: dict[Id, Policy] = Field(description="What keys may do, by name.")
    samples: SampleSettings | None = Field(default=None, description="Samples of prompts for abuse review; off.")
    keys: tuple[ConfiguredKey, ...] = Field(default=(), description="Keys that stand in the file; others are issued.")

    @property
    def similarity_model(self) -> str | None:
        """The public name of the model that texts are compared with; None where there is none, or none is chosen."""
        if self.similarity.model is not None:
            return self.similarity.model
        names = [name for name, model in self.models.items() if model.task == "embedding"]
        return names[0] if len(names) == 1 else None


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the file."""
    document = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document, "title": "llmguard settings"}
