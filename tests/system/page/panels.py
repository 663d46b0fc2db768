"""Panels on a page of their own, each under the page's policy: what it draws is what a test publishes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CORE = Path(__file__).parents[3] / "edgeai_core" / "http" / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"
)
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A panel</title>
<link rel="stylesheet" href="/style.css"></head>
<body><section class="panel"><h2>A panel</h2><div class="panel-body" id="panel"></div></section>
<script type="module" src="/%s.harness"></script></body></html>"""
SCRIPT = """
import { mount } from "/%s.js";
const heard = new Map();
window.publish = (topic, data) => heard.get(topic)?.(data);
await mount(document.getElementById("panel"), {
  subscribe(topic, callback) { heard.set(topic, callback); return () => heard.delete(topic); },
  fetch: (path) => fetch(path),
});
window.mounted = true;
"""


@contextmanager
def served_panels(folder: Path, picture: bytes = b"") -> Iterator[str]:
    """Serve the panels of a folder, ``/NAME`` for ``NAME.js``; ``picture`` (JPEG) is what is live.."""
    files = {path.name: path for place in (folder, CORE) for path in place.iterdir() if path.is_file()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            body, kind = b"", "text/plain"
            if f"{name}.js" in files:
                body, kind = (PAGE % name).encode(), "text/html"
            elif name.endswith(".harness"):
                body, kind = (SCRIPT % name.removesuffix(".harness")).encode(), "text/javascript"
            elif name.startswith("v1/live/"):
                body, kind = picture, "image/jpeg"
            elif name in files:
                body = files[name].read_bytes()
                kind = "text/css" if name.endswith("css") else "text/javascript"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def shown(page: Any, address: str, panel: str) -> None:
    """Open a panel and wait until it is there."""
    page.open(address + panel)
    page.until("window.mounted === true")


def publish(page: Any, topic: str, data: object) -> None:
    """Hand a live value to the panel."""
    page.evaluate(f"publish({json.dumps(topic)}, {json.dumps(data)})")
