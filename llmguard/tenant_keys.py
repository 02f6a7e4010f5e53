"""The keys under which tenants' text is marked: derived, so that every guard of one secret has the same."""

from watermark.keys.words import key_id, words


class TenantKeys:
    """Keys by format, tenant, epoch and public model, from `master` alone."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    async def key(self, scheme: str, tenant: str, epoch: int, model: str) -> tuple[int, str]:
        """A key of 64 bits, and its id."""
        (key,) = words(self._master, scheme=scheme, tenant=tenant, epoch=epoch, model=model)
        return key, key_id(self._master, scheme=scheme, tenant=tenant, epoch=epoch, model=model)
