"""A real HTTP server on loopback that behaves like an OpenAI-compatible one, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Action:
    """What the server does with one request. cut: send only the first half of the body, then drop the connection."""

    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False


def chat(content: Any, **message: Any) -> Action:
    """A chat completion with this content."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    return Action(json.dumps({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}))


def failure(status: int, message: str = "no", **headers: str) -> Action:
    return Action(
        json.dumps({"error": {"message": message}}), status, {k.replace("_", "-"): v for k, v in headers.items()}
    )


@dataclass
class Server:
    """Base address, and what was asked: bodies in order of arrival, how often each, peak concurrency."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    authorizations: set[str] = field(default_factory=set)
    peak: int = 0


@contextmanager
def serve(behave: Callable[[dict[str, Any], int], Action]) -> Iterator[Server]:
    """Run a server until the block ends. behave(request, how often it was asked before) -> Action."""
    lock = threading.Lock()
    active = 0
    state = Server("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal active
            text = self.rfile.read(int(self.headers["content-length"])).decode()
            request = json.loads(text)
            key = json.dumps(request, sort_keys=True)
            with lock:
                before = state.counts[key]
                state.counts[key] += 1
                state.requests.append(request)
                state.times.append(time.monotonic())
                state.authorizations.add(self.headers.get("authorization", ""))
                active += 1
                state.peak = max(state.peak, active)
            try:
                self._answer(behave(request, before))
                with lock:
                    state.finished[key] += 1
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                with lock:
                    active -= 1

        def _answer(self, action: Action) -> None:
            if action.delay:
                time.sleep(action.delay)
            data = action.body.encode()
            self.send_response(action.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            for name, value in action.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if action.cut else data)
            self.wfile.flush()
            if action.cut:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            pass

    httpd = Quiet(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()
