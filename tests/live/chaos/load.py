"""Callers that never stop: what they are answered, counted."""

from __future__ import annotations

import threading
import time
from collections import Counter

import httpx

PACE = 0.02  # seconds between two calls of one caller


class Caller:
    """Calls `/v1/me` again and again with the token of the moment, on a kept connection."""

    def __init__(self, base_url: str, *, token: str) -> None:
        self.token = token
        self._base_url = base_url
        self._answers: Counter[str] = Counter()
        self._ended = threading.Event()
        self._calling = threading.Event()
        self._calling.set()
        self._between = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answers(self) -> Counter[str]:
        """So far: by status, and `no answer` where the connection broke."""
        return Counter(self._answers)

    @property
    def calling(self) -> bool:
        """Whether it is not paused."""
        return self._calling.is_set()

    def pause(self) -> None:
        """No call is under way when this returns."""
        self._calling.clear()
        self._between.wait(70)

    def go_on(self, *, token: str) -> None:
        self.token = token
        self._calling.set()

    def end(self) -> None:
        self._ended.set()
        self._calling.set()
        self._thread.join(70)

    def _run(self) -> None:
        with httpx.Client(base_url=self._base_url, timeout=60, trust_env=False) as client:
            while not self._ended.is_set():
                if not self._calling.is_set():
                    self._between.set()
                    self._calling.wait()
                    self._between.clear()
                    continue
                self._answers[self._call(client)] += 1
                time.sleep(PACE)

    def _call(self, client: httpx.Client) -> str:
        try:
            answer = client.get("/v1/me", headers={"Authorization": f"Bearer {self.token}"})
        except httpx.TransportError:
            time.sleep(PACE)
            return "no answer"
        return str(answer.status_code)
