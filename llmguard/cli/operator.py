"""Commands that ask the admin API of the running guard, which alone knows the last second."""

import json
import os
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

import typer

from llmguard.settings import Settings
from llmguard.settings_file import SettingsError, load

TIMEOUT_S = 10.0
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what a guard listens on, and where it is found


class Operator:
    """The operator's side of one command, `name`; whatever goes wrong ends it with a line on stderr."""

    def __init__(self, name: str, config: Path | None) -> None:
        self._name = name
        self._settings = self._load(config)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The guard's answer, or the exit with its status and a line on stderr."""
        settings = self._settings
        if settings.admin.token is None:
            self.stop(2, "the settings have no admin.token, so the guard's admin API is shut")
        host = ANYWHERE.get(settings.server.host, settings.server.host)
        place = f"[{host}]" if ":" in host else host
        url = f"http://{place}:{settings.server.port}/admin/v1/{path}"
        headers = {"authorization": f"Bearer {settings.admin.token.get_secret_value()}"}
        if body is not None:
            headers["content-type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        # Not through a proxy of the environment's: the guard is here.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            self.stop(2 if error.code == HTTPStatus.UNAUTHORIZED else 1, said(error))
        except (OSError, ValueError) as error:
            self.stop(1, f"no guard answers at {place}:{settings.server.port}: {getattr(error, 'reason', error)}")

    def stop(self, status: int, message: str) -> NoReturn:
        """The end of the command, said on stderr."""
        typer.echo(f"llmguard {self._name}: {message}", err=True)
        raise typer.Exit(status)

    def _load(self, config: Path | None) -> Settings:
        """The settings in the file; without one there is no admin API to ask."""
        if config is None:
            self.stop(2, "give the running guard's settings with --config; its admin.token is needed")
        try:
            return load(config, os.environ)
        except SettingsError as error:
            self.stop(2, str(error))


def said(error: urllib.error.HTTPError) -> str:
    """The guard's own words for a refusal."""
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"
