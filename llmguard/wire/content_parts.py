"""What the content of a chat message is made of."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Identifier = Annotated[str, Meta(max_length=512)]


class Part(Struct, forbid_unknown_fields=True, tag_field="type", omit_defaults=True):
    """A piece of a message's content."""


class TextPart(Part, tag="text"):
    """Text."""

    text: str


class ImageUrl(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Where an image is: an http(s) or data URL."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Part, tag="image_url"):
    """An image."""

    image_url: ImageUrl


class InputAudio(Struct, forbid_unknown_fields=True):
    """Base64 audio."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Part, tag="input_audio"):
    """Audio."""

    input_audio: InputAudio


class InlineFile(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A file by value. A file by id would be the upstream account's, so it is not known here."""

    file_data: str
    filename: Identifier | None = None


class FilePart(Part, tag="file"):
    """A file."""

    file: InlineFile


class RefusalPart(Part, tag="refusal"):
    """A refusal that the model gave earlier."""

    refusal: str


TextContent = str | Annotated[list[TextPart], Meta(min_length=1, max_length=256)]
UserContent = str | Annotated[list[TextPart | ImagePart | AudioPart | FilePart], Meta(min_length=1, max_length=256)]
AssistantContent = str | Annotated[list[TextPart | RefusalPart], Meta(max_length=256)]
