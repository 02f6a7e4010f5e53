"""Who asks: the API key, and the principal that it stands for."""

import msgspec

from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange, Head, Principal
from llmguard.keyring import Keyring
from llmguard.settings import Settings
from llmguard.store.store import StoreUnavailable


class Authentication(Step):
    """Finds the principal; missing, unknown, revoked and expired keys get one answer by one path.

    The key is read from `Authorization: Bearer` or `api-key`.
    """

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._policies = settings.policies
        self._keyring = keyring

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Set principal and policy, or refuse."""
        try:
            record = await self._keyring.find(_presented(exchange.head))
        except StoreUnavailable:
            return Denial("store_unavailable", retry_after_s=1.0)
        policy = self._policies.get(record.policy) if record is not None else None
        if record is None or policy is None:
            return Denial("invalid_api_key")
        principal = Principal(record.id, record.user, record.tenant, record.policy, exchange.principal.ip)
        return msgspec.structs.replace(exchange, principal=principal, policy=policy)


def _presented(head: Head) -> bytes | None:
    scheme, _, token = head.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and token:
        return token.strip()
    return head.headers.get(b"api-key")
