"""Which public models there are, and who may see them."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec

from llmguard.exchange import Exchange
from llmguard.settings import Model, Settings
from llmguard.wire.models import ModelList, ModelObject


class Catalogue:
    """The models by policy, worked out once for all requests under these settings."""

    def __init__(self, settings: Settings, created: int) -> None:
        self._all = settings.models
        self._created = created
        self._visible: dict[str, Mapping[str, Model]] = {
            name: {
                model: found
                for model, found in settings.models.items()
                if any(fnmatchcase(model, pattern) for pattern in policy.models)
            }
            for name, policy in settings.policies.items()
        }

    def visible(self, policy: str) -> Mapping[str, Model]:
        """The models of a policy; all of them for the nameless one of `mode: observe`."""
        return self._visible[policy] if policy else self._all

    def listing(self, exchange: Exchange) -> bytes:
        """The answer to `GET /v1/models`, or of the one model that the exchange names."""
        if exchange.model:
            return msgspec.json.encode(ModelObject(exchange.model, self._created))
        names = self.visible(exchange.principal.policy)
        return msgspec.json.encode(ModelList([ModelObject(name, self._created) for name in names]))
