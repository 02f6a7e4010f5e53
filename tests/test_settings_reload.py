"""What of a changed file waits for a restart."""

import pytest
from pydantic import SecretStr

from llmguard.settings import Server, Settings, StoreSettings
from llmguard.settings_policies import Policy
from llmguard.settings_reload import changed_needs_restart
from llmguard.settings_similarity import SimilaritySettings

OLD = Settings(secret=SecretStr("s" * 32), upstreams={}, models={}, policies={"p": Policy()})


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({}, ()),
        ({"mode": "observe", "policies": {}}, ()),
        ({"server": Server(max_body_bytes=2048, drain_s=1)}, ()),
        ({"server": Server(host="0.0.0.0", port=1, workers=2)}, ("server.host", "server.port", "server.workers")),
        ({"secret": SecretStr("t" * 32)}, ("secret",)),
        ({"store": StoreSettings(url="memory:")}, ("store",)),
        ({"similarity": SimilaritySettings(directory="elsewhere")}, ("similarity",)),
    ],
)
def test_changed_needs_restart(change: dict[str, object], keys: tuple[str, ...]) -> None:
    assert changed_needs_restart(OLD, OLD.model_copy(update=change)) == keys
