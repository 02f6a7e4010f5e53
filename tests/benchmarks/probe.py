"""One request before a measurement: a target that answers wrongly is fast for nothing."""

import json
import urllib.error
import urllib.request

from tests.benchmarks.nginx import ANSWER
from tests.benchmarks.targets import Target

EXPECTED = ANSWER["choices"][0]["message"]["content"]  # type: ignore[index]


def refuses(target: Target, model: str) -> str | None:
    """Why the target does not relay the fixed answer; None where it does."""
    body = {"model": model, "messages": [{"role": "user", "content": "Is anyone there?"}], "max_tokens": 80}
    request = urllib.request.Request(target.urls[model], json.dumps(body).encode(), dict(target.headers[model]))
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            content = json.load(response)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        return f"answered {error.code}: {error.read()[:200].decode(errors='replace')}"
    except (OSError, ValueError, LookupError) as error:
        return f"answered wrongly: {error!r}"
    return None if content == EXPECTED else f"relayed {content!r:.100}"
