"""`llmguard detect-worker` as a process: it works until it is told to stop."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmguard.cli.detect_worker import parts_of, run
from llmguard.risk.post import PARTS, owner_of
from tests.redis_server import RedisServer, wait_for
from tests.risk.site import settings_at
from tests.serving import tree

TIMEOUT_S = 30.0


def test_parts_are_shared_out_whole() -> None:
    for count in (1, 3, PARTS):
        shared = [part for number in range(count) for part in parts_of(f"{number + 1}/{count}")]
        assert sorted(shared) == list(range(PARTS))


@pytest.mark.parametrize("part", ["", "1", "0/2", "3/2", "1/17", "a/b", "1/", "-1/2"])
def test_what_is_no_part_is_told(part: str) -> None:
    with pytest.raises(ValueError, match="--part"):
        parts_of(part)


def test_a_store_of_one_process_needs_no_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "guard.yaml"
    file.write_text(json.dumps(tree("http://127.0.0.1:1/v1")))
    assert run(file, part="1/1", metrics_port=None) == 2
    assert "redis://" in capsys.readouterr().err


def test_it_works_until_it_is_told_to_stop_and_lets_go(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        settings = tree("http://127.0.0.1:1/v1", store={"url": redis.url}, policies={"public": {"prompts": {}}})
        file = tmp_path / "guard.yaml"
        file.write_text(json.dumps({**settings, "keys": []}))
        command = [sys.executable, "-m", "llmguard", "detect-worker", "--config", str(file), "--part", "2/2"]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        child = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
        try:
            wait_for(lambda: owned(redis) == set(range(1, PARTS, 2)), TIMEOUT_S)
            child.send_signal(signal.SIGTERM)
            _, said = child.communicate(timeout=TIMEOUT_S)
        finally:
            child.kill()
            child.wait()
        assert child.returncode == 0, said
        assert owned(redis) == set()
        assert settings_at(redis.url).store.url not in said.decode()


def owned(redis: RedisServer) -> set[int]:
    """The parts that a worker has."""
    from redis import Redis

    with Redis(port=redis.port) as client:
        return {part for part in range(PARTS) if client.exists(owner_of(part))}
