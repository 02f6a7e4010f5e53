"""A gateway before somebody else's models needs none of what its own would."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.guarded import UPSTREAM_URL
from tests.serving import tree

HEAVY = ("torch", "litellm", "faiss", "transformers", "sentence_transformers", "numpy", "redis", "openai", "httpx")

PROGRAM = """if True:
    import asyncio, json, os, sys
    from pathlib import Path
    import llmguard.cli.serve
    from llmguard.app import App
    from llmguard.audit_log import AuditLog
    from llmguard.clock import SystemClock
    from llmguard.metrics import Metrics
    from llmguard.settings import Settings
    from llmguard.store import open_store
    from llmguard.upstreams.build import build_upstream

    async def main():
        settings = Settings.model_validate(json.loads(sys.argv[1]))
        clock = SystemClock()
        app = App(
            settings,
            clock=clock,
            store=open_store(settings.store, clock=clock),
            upstreams=lambda upstream: build_upstream(upstream, cache=Path("unused")),
            audit=AuditLog(os.open(os.devnull, os.O_WRONLY)),
            metrics=Metrics(),
        )
        assert await app.ready()
        await app.close()

    asyncio.run(main())
    print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""


def test_it_loads_nothing_that_only_models_need(tmp_path: Path) -> None:
    settings = json.dumps(tree(UPSTREAM_URL, store={"url": f"file:{tmp_path}/data"}))
    command = [sys.executable, "-W", "error", "-c", PROGRAM, settings, *HEAVY]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
