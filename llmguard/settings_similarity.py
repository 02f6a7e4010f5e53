"""The settings of vector stores, similarity and rerank."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from llmguard.settings_frozen import Frozen
from llmguard.settings_values import ENV_NOTE, Name, Token
from similarity.setting import Disclosure

DISCLOSURE = Disclosure()


class SimilarityAnswers(Frozen):
    """How much answers about likeness may say. Whatever says more than the defaults needs a reason."""

    edges: tuple[Annotated[float, Field(gt=-1, lt=1)], ...] = Field(
        default=DISCLOSURE.edges, min_length=1, max_length=64, description="The borders of the score buckets, rising."
    )
    dither: float = Field(
        default=DISCLOSURE.dither, ge=0, le=1, description="By how much the scores of a question move, by key."
    )
    lifetime: int = Field(
        default=DISCLOSURE.lifetime,
        ge=0,
        description="The different questions of a tenant that are told a score of one hidden item, ever.",
    )
    top_k: int = Field(default=DISCLOSURE.top_k, ge=1, le=50, description="The most results of a search.")
    same_question: float = Field(
        default=DISCLOSURE.same_question,
        gt=0,
        le=1,
        description="From this likeness on a question to a hidden store is an earlier one, and answered like it.",
    )
    one_length: bool = Field(default=DISCLOSURE.one_length, description="Whether answers are padded to one length.")
    search_credits: int = Field(
        default=20_000, ge=0, description="What searches may give away to a user in a day, in credits."
    )
    list_credits: int = Field(
        default=10_000, ge=0, description="What similarity and rerank may, whose texts clients bring; in credits."
    )
    reason: str | None = Field(default=None, min_length=1, description="Why answers may say more than the defaults.")

    @property
    def disclosure(self) -> Disclosure:
        """The same as the library's value."""
        return Disclosure(
            edges=self.edges,
            dither=self.dither,
            lifetime=self.lifetime,
            top_k=self.top_k,
            same_question=self.same_question,
            one_length=self.one_length,
        )

    @model_validator(mode="after")
    def _reasoned(self) -> "SimilarityAnswers":
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges must rise")
        fields = type(self).model_fields
        wider = [
            name
            for name in ("lifetime", "top_k", "same_question", "search_credits", "list_credits")
            if getattr(self, name) > fields[name].default
        ]
        wider += ["edges"] * (not set(self.edges) <= set(DISCLOSURE.edges))
        wider += ["dither"] * (self.dither < DISCLOSURE.dither)
        if wider and self.reason is None:
            raise ValueError(f"says more than the defaults by {', '.join(wider)}, which needs a `reason`")
        return self


class MilvusSettings(Frozen):
    """A Milvus that holds the vectors, as they are: its disks and its network are the operator's to encrypt."""

    uri: str = Field(min_length=1, description="http(s)://host:port, or a milvus-lite file.")
    token: Token | None = Field(default=None, description=f"Its token, or user:password. {ENV_NOTE}")


class SimilaritySettings(Frozen):
    """Vector stores, similarity and rerank."""

    model: Name | None = Field(
        default=None, description="The public embedding model that they use; without it, the only one there is."
    )
    directory: str | None = Field(
        default=None,
        min_length=1,
        description="Where vector stores live, of one process; without it, beside a file: store.",
    )
    milvus: MilvusSettings | None = Field(
        default=None, description="Where vectors are searched instead of by FAISS in this process."
    )
    max_file_bytes: int = Field(
        default=16 << 20, ge=1024, le=256 << 20, description="The largest file that may be uploaded, in bytes."
    )
