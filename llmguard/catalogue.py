"""Which public models there are, and who may see them."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec

from llmguard.exchange import Exchange
from llmguard.service import Served, Service
from llmguard.settings import Model, Settings
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.models import MODEL, MODELS, ModelList, ModelObject


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

    @property
    def services(self) -> Mapping[Endpoint, Service]:
        """What it answers."""
        return {MODELS: self._list, MODEL: self._one}

    async def _list(self, exchange: Exchange) -> Served:
        names = self.visible(exchange.principal.policy)
        return Served(msgspec.json.encode(ModelList([ModelObject(name, self._created) for name in names])))

    async def _one(self, exchange: Exchange) -> Served:
        return Served(msgspec.json.encode(ModelObject(exchange.model, self._created)))
