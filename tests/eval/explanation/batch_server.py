"""The batch API on loopback: files, batches, polling, and what happens when nobody comes back for a while."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.eval.explanation.server import Action


@dataclass
class BatchServer:
    """Base address; files by number; batches by number; polls; live requests. gate: batches end once it is set."""

    url: str
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    polls: int = 0
    live: list[dict[str, Any]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    end: str = "completed"
    refuse_batches: int = 0

    def requests(self) -> list[dict[str, Any]]:
        """Every request of every batch, in order."""
        return [json.loads(line) for one in self.batches.values() for line in one["lines"]]


@contextmanager
def serve_batches(behave: Callable[[dict[str, Any], int], Action], *, open_gate: bool = True) -> Iterator[BatchServer]:
    """Run a server until the block ends. behave(body, how often it was asked in a batch before) -> Action."""
    state, counts, lock = BatchServer(""), {}, threading.Lock()
    if open_gate:
        state.gate.set()

    def answer(line: str) -> tuple[bool, str]:
        """(whether it is good, its line in the answer or error file)."""
        request = json.loads(line)
        key = json.dumps(request["body"], sort_keys=True)
        action = behave(request["body"], counts.get(key, 0))
        counts[key] = counts.get(key, 0) + 1
        if state.end == "expired" and action.status == 0:
            error = {"code": "batch_expired", "message": "This request could not be executed before it expired."}
            return False, json.dumps({"custom_id": request["custom_id"], "response": None, "error": error})
        response = {"status_code": action.status, "body": json.loads(action.body)}
        told = json.dumps({"custom_id": request["custom_id"], "response": response, "error": None})
        return action.status == 200, told

    def finish(batch: dict[str, Any]) -> None:
        found = [answer(line) for line in batch["lines"]]
        for name, good in (("output", True), ("error", False)):
            lines = [line for ok, line in found if ok == good]
            if lines:
                batch[f"{name}_file_id"] = f"file-{name}-{batch['id']}"
                state.files[batch[f"{name}_file_id"]] = "\n".join(reversed(lines)) + "\n"
        batch["status"] = state.end

    def told(batch: dict[str, Any]) -> dict[str, Any]:
        counts = {"total": len(batch["lines"]), "completed": 0, "failed": 0}
        return {**{k: v for k, v in batch.items() if k != "lines"}, "request_counts": counts}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"])).decode()
            with lock:
                self._post(self.path.removeprefix("/v1"), data)

        def _post(self, path: str, data: str) -> None:
            if path == "/files":
                assert 'name="purpose"' in data and "batch" in data
                number = f"file-{len(state.files)}"
                state.files[number] = "\n".join(re.findall(r'^\{"custom_id".*\}$', data, re.MULTILINE))
                self._send({"id": number, "object": "file", "purpose": "batch", "bytes": 1, "created_at": 0,
                            "filename": "x", "status": "processed"})  # fmt: skip
            elif path == "/batches" and state.refuse_batches:
                self._send({"error": {"message": "no batches here"}}, state.refuse_batches)
            elif path == "/batches":
                asked = json.loads(data)
                number = f"batch_{len(state.batches)}"
                state.batches[number] = {
                    "id": number, "object": "batch", "status": "in_progress", "created_at": 0,
                    "endpoint": asked["endpoint"], "completion_window": asked["completion_window"],
                    "input_file_id": asked["input_file_id"], "metadata": asked["metadata"],
                    "lines": state.files[asked["input_file_id"]].splitlines(),
                }  # fmt: skip
                self._send(told(state.batches[number]))
            else:
                state.live.append(json.loads(data))
                action = behave(state.live[-1], 0)
                self._send(json.loads(action.body), action.status)

        def do_GET(self) -> None:
            path = self.path.removeprefix("/v1").partition("?")[0]
            with lock:
                if path == "/batches":
                    found = [told(one) for one in reversed(list(state.batches.values()))]
                    self._send({"object": "list", "data": found, "has_more": False})
                elif path.startswith("/batches/"):
                    state.polls += 1
                    batch = state.batches[path.removeprefix("/batches/")]
                    if batch["status"] == "in_progress" and state.gate.is_set():
                        finish(batch)
                    self._send(told(batch))
                else:
                    self._send(state.files[path.split("/")[2]])

        def _send(self, body: Any, status: int = 200) -> None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()
