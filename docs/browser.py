"""Open a page in Chromium as readers do, and say what is wrong with it.

python docs/browser.py energy.html [--axe axe.min.js] [--pictures FOLDER]

At three widths, light and dark, and on paper: nothing is requested, the console is silent, nothing
is wider than the window, and axe-core (`npm pack axe-core`) finds no violation. Needs a Chromium on
PATH (on Debian: apt-get install chromium) and nothing else: it is driven through pipes.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Of a phone, a tablet and a desk; and of A4.
WIDTHS = (360, 768, 1280)
PAPER = 794
HEIGHT = 900
#: Taller pictures are cut: a browser refuses them.
TALLEST = 12_000
MODES = {
    "light": {"media": "", "scheme": "light"},
    "dark": {"media": "", "scheme": "dark"},
    "print": {"media": "print", "scheme": "light"},
}


class Browser:
    """A page in a headless Chromium, driven by the DevTools protocol over two pipes."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders = os.fdopen(orders, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb")
        self._number = 0
        self._session = ""
        self.events: list[dict[str, Any]] = []
        page = self.ask("Target.createTarget", url="about:blank")["targetId"]
        found = self.ask("Target.attachToTarget", targetId=page, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command; events that come before it are kept."""
        self._number += 1
        order: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            order["sessionId"] = self._session
        self._orders.write(json.dumps(order).encode() + b"\0")
        while (message := self._next()).get("id") != self._number:
            self.events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        result: dict[str, Any] = message["result"]
        return result

    def open(self, url: str) -> None:
        """Load a page and wait until it is there."""
        self.events.clear()
        self.ask("Page.navigate", url=url)
        while not any(each.get("method") == "Page.loadEventFired" for each in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """What JavaScript makes of it; a promise is waited for."""
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        return self.ask("Runtime.evaluate", **asked)["result"].get("value")

    def show(self, width: int, mode: str) -> None:
        """A window of this width, light, dark or on paper."""
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        chosen = MODES[mode]
        feature = {"name": "prefers-color-scheme", "value": chosen["scheme"]}
        self.ask("Emulation.setEmulatedMedia", media=chosen["media"], features=[feature])

    def picture(self, path: Path, height: int | None = None) -> None:
        """Write the page as PNG: all of it, or its top."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        tall = min(size["height"], height or TALLEST)
        clip = {"x": 0, "y": 0, "width": size["width"], "height": tall, "scale": 1}
        data = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _next(self) -> dict[str, Any]:
        found = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser has ended")
            found += byte
        message: dict[str, Any] = json.loads(found)
        return message


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, ended afterwards."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("no chromium on PATH; on Debian: apt-get install chromium")
    orders, our_orders = os.pipe()
    our_answers, answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = "--headless --no-sandbox --hide-scrollbars --remote-debugging-pipe"
        # The protocol's pipes are the descriptors 3 and 4.
        command = f'exec "$0" {options} --user-data-dir="$1" 3<&{orders} 4>&{answers}'
        process = subprocess.Popen(
            ["bash", "-c", command, program, folder],
            pass_fds=(orders, answers),
            env={**os.environ, "HOME": folder},
            stderr=subprocess.DEVNULL,
        )
        os.close(orders)
        os.close(answers)
        try:
            yield Browser(our_orders, our_answers)
        finally:
            process.terminate()
            process.wait(timeout=20)


def mistakes(page: Browser, url: str, width: int, mode: str, axe: str) -> Iterator[str]:
    """What is wrong with a page that is shown so."""
    page.ask("Page.setBypassCSP", enabled=False)
    page.show(width, mode)
    page.open(url)
    for each in page.events:
        params = each.get("params", {})
        if each["method"] == "Network.requestWillBeSent":
            asked = params["request"]["url"]
            if asked != url and not asked.startswith("data:"):
                yield f"it asks for {asked}"
        elif each["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled"):
            yield f"console: {params}"
    root = "document.documentElement"
    if over := page.value(f"{root}.scrollWidth - {root}.clientWidth"):
        yield f"it is {over} pixels wider than the window"
    if axe:
        page.ask("Page.setBypassCSP", enabled=True)  # axe is a script, which the page forbids
        page.open(url)
        page.value(f"{axe};0")
        found = page.value("axe.run().then(found => JSON.stringify(found.violations))")
        for each in json.loads(found):
            yield f"axe {each['id']}: {each['help']} ({len(each['nodes'])} places)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--axe", type=Path, help="axe.min.js of axe-core")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each view")
    asked = parser.parse_args()
    axe = asked.axe.read_text(encoding="utf-8") if asked.axe else ""
    url = asked.page.resolve().as_uri()
    failed = False
    with browser() as page:
        views = [(width, mode) for mode in ("light", "dark") for width in WIDTHS]
        for width, mode in [*views, (PAPER, "print")]:
            found = list(mistakes(page, url, width, mode, axe))
            print(f"{width} {mode}: {'; '.join(found) or 'fine'}")
            failed = failed or bool(found)
            if asked.pictures:
                asked.pictures.mkdir(parents=True, exist_ok=True)
                page.picture(asked.pictures / f"{asked.page.stem}-{width}-{mode}.png")
    sys.exit(failed)


if __name__ == "__main__":
    main()
