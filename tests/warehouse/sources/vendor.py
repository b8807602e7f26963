"""A vendor on 127.0.0.1: answers requests from a script and remembers them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Query = dict[str, str]
Answer = tuple[int, object]
"""HTTP status, and a body: text as it is, anything else as JSON."""


@dataclass
class Vendor:
    """The running server: its address, and the requests so far as (path, query)."""

    url: str
    requests: list[tuple[str, Query]] = field(default_factory=list)


@contextmanager
def vendor(respond: Callable[[str, Query], Answer]) -> Iterator[Vendor]:
    """Serve ``respond(path, query)`` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            running.requests.append((parts.path, query))
            status, body = respond(parts.path, query)
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Vendor(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
