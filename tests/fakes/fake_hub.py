"""The Hugging Face Hub on this machine: its own clients load models and data sets from folders."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

#: Of every repository; the clients keep what they load by it.
COMMIT = "c" * 40
_FILE = re.compile(r"/(?P<repository>.+)/resolve/[^/]+/(?P<path>.+)")
_ABOUT = re.compile(r"/api/(?P<repository>(?:models|datasets)/.+?)(?:/revision/[^/]+)?")
_TREE = re.compile(r"/api/(?P<repository>(?:models|datasets)/.+)/tree/[^/]+(?:/(?P<path>.+))?")
_PATHS = re.compile(r"/api/(?P<repository>(?:models|datasets)/.+)/paths-info/[^/]+")


class _Handler(BaseHTTPRequestHandler):
    """Folders below `root`: models/ID and datasets/ID."""

    root: ClassVar[Path]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        given = dict(parse_qsl(self.rfile.read(length).decode()))
        found = _PATHS.fullmatch(self._path)
        if found is None:
            return self._missing("RepoNotFound")
        folder = self.root / found["repository"]
        paths = [folder / path for name, path in given.items() if name == "paths"]
        return self._json([_entry(each, folder) for each in paths if each.is_file()])

    @property
    def _path(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _answer(self, *, has_body: bool) -> None:
        if found := _FILE.fullmatch(self._path):
            repository = found["repository"]
            kind = "" if repository.startswith("datasets/") else "models"
            return self._file(self.root / kind / repository / found["path"], has_body=has_body)
        if found := _TREE.fullmatch(self._path):
            folder = self.root / found["repository"]
            files = [each for each in folder.rglob("*") if each.is_file()]
            inside = folder / (found["path"] or "")
            return self._json([_entry(each, folder) for each in files if inside in each.parents])
        if found := _ABOUT.fullmatch(self._path):
            folder = self.root / found["repository"]
            moved = [each for each in folder.parent.glob(f"*/{folder.name}") if each.is_dir()]
            if moved and len(folder.relative_to(self.root).parts) == 2:
                return self._redirect(moved[0].relative_to(self.root).as_posix())
            if not folder.is_dir():
                return self._missing("RepoNotFound")
            names = [{"rfilename": each.name} for each in folder.iterdir()]
            repository = found["repository"].partition("/")[2]
            return self._json({"id": repository, "sha": COMMIT, "siblings": names, "tags": []})
        return self._missing("RepoNotFound")

    def _file(self, path: Path, *, has_body: bool) -> None:
        if not path.is_file():
            return self._missing("EntryNotFound")
        content = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]), len(content) - 1) if asked and asked[2] else len(content) - 1
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if has_body:
            self.wfile.write(content[first : last + 1])
        return None

    def _json(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, repository: str) -> None:
        """To where an old name without a namespace has moved."""
        self.send_response(307)
        self.send_header("Location", f"/api/{repository}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


def _entry(path: Path, folder: Path) -> dict[str, object]:
    oid = hashlib.sha1(path.read_bytes()).hexdigest()
    name = path.relative_to(folder).as_posix()
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": oid}


@contextmanager
def running(root: Path) -> Iterator[str]:
    """Its address, for HF_ENDPOINT."""
    handler = type("Handler", (_Handler,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
