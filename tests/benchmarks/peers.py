"""The peers, each in a home of its own under build/peers; run as a module, it installs them."""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build"
PEERS = BUILD / "peers"
LITELLM = PEERS / "litellm" / "bin" / "litellm"
PORTKEY = PEERS / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
CHROMA = PEERS / "chroma" / "bin" / "python"
LITELLM_PACKAGE = "litellm[proxy]==1.106.2"
CHROMA_PACKAGE = "chromadb==1.5.9"
PORTKEY_PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.14.1"},
}
"""With a later node-server every stream of this gateway is a 500 (Portkey-AI/gateway#1389)."""
INSTALL = "install it with: python -m tests.benchmarks.peers"


def install() -> None:
    """Installs what is missing, in the versions named here."""
    if not LITELLM.exists():
        venv.create(PEERS / "litellm", with_pip=True)
        subprocess.run([str(LITELLM.parent / "pip"), "install", "--quiet", LITELLM_PACKAGE], check=True)
    if not CHROMA.exists():
        venv.create(PEERS / "chroma", with_pip=True)
        subprocess.run([str(CHROMA), "-m", "pip", "install", "--quiet", CHROMA_PACKAGE], check=True)
    manifest, wanted = PEERS / "portkey" / "package.json", json.dumps(PORTKEY_PACKAGE)
    if not PORTKEY.exists() or manifest.read_text() != wanted:
        home = manifest.parent
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        manifest.write_text(wanted)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=home, check=True)


if __name__ == "__main__":
    install()
    sys.exit(0)
