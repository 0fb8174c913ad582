"""A headless Chromium driven through its DevTools pipe: pages of any width, theme and medium, and their complaints."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next((found for name in NAMES if (found := shutil.which(name))), None)
WITHOUT = f"no browser on the path (tried {', '.join(NAMES)}); Debian: apt-get install chromium"
LIMIT_S = 60
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One browser process with an empty profile; use as a context."""

    def __init__(self, folder: Path) -> None:
        inner_read, self._write = os.pipe()
        self._read, inner_write = os.pipe()
        command = [str(PROGRAM), *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{inner_read} 4>&{inner_write}', "bash", *command],
            pass_fds=(inner_read, inner_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(inner_read)
        os.close(inner_write)
        self._count, self._rest, self._events = 0, b"", []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.call("Browser.close")
        self._process.wait(LIMIT_S)
        os.close(self._read)
        os.close(self._write)

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come before it are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = self._next(lambda one: one.get("id") == self._count)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def wait(self, method: str, session: str) -> None:
        """Wait for an event of a session, or find it among those that came."""
        wanted = lambda one: one.get("method") == method and one.get("sessionId") == session  # noqa: E731
        if not any(map(wanted, self._events)):
            self._next(wanted)

    def events(self, session: str) -> list[dict[str, Any]]:
        """Events of a session so far."""
        return [event for event in self._events if event.get("sessionId") == session]

    def _next(self, wanted: Any) -> dict[str, Any]:
        end = time.monotonic() + LIMIT_S
        while True:
            while b"\0" not in self._rest:
                ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
                assert ready, f"the browser said nothing for {LIMIT_S} s"
                part = os.read(self._read, 1 << 20)
                assert part, "the browser ended"
                self._rest += part
            text, _, self._rest = self._rest.partition(b"\0")
            message = json.loads(text)
            if "method" in message:
                self._events.append(message)
            if wanted(message):
                return message


class Tab:
    """A page opened in a tab of its own: ``width`` CSS pixels wide, light or dark, on screen or printed."""

    def __init__(self, browser: Browser, path: Path, *, width: int = 1400, dark: bool = False, media: str = "screen",
                 bypass_csp: bool = False) -> None:  # fmt: skip
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        if bypass_csp:
            self.call("Page.setBypassCSP", enabled=True)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=path.as_uri())
        browser.wait("Page.loadEventFired", self._session)

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command to this tab."""
        return self._browser.call(method, self._session, **params)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, as JSON; an exception is an AssertionError."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    @property
    def problems(self) -> list[str]:
        """Exceptions, console errors and warnings, and blocked loads so far."""
        self.evaluate("1")  # events are ordered: all before this answer have come
        said = []
        for event in self._browser.events(self._session):
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                said.append(str(params["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                said.append(str(params["args"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                said.append(params["entry"]["text"])
        return said

    @property
    def loaded(self) -> list[str]:
        """Addresses that the page asked for, the page's own first."""
        events = self._browser.events(self._session)
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def screenshot(self, path: Path, *, height: int | None = None, top: int = 0) -> None:
        """The whole page, or ``height`` pixels of it from ``top``, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {
            "x": 0,
            "y": top,
            "width": size["width"],
            "height": min(height or 1e9, size["height"] - top),
            "scale": 1,
        }
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path: Path) -> None:
        """The page as printed on A4."""
        printed = self.call("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        path.write_bytes(base64.b64decode(printed["data"]))
