"""A language model behind an OpenAI-compatible endpoint.

Where it is, whoever runs the command says, or `MFN_READER_URL`; no request names it. The key is in `MFN_READER_KEY`
alone and goes to that address alone: a redirect is an answer that is refused, not followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from mfn_core.errors import ConfigError
from mfn_server.naming.reader import Answer, ReaderError, Said

TIMEOUT = 120.0
TRIES = 4
LONGEST_PAUSE = 60.0
BUSY = (408, 409, 429, 500, 502, 503, 504)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Endpoint:
    """Asks `POST {url}/chat/completions`."""

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises ConfigError: an address that makes no sense, or to which a key would go in clear.

        Args:
            url: what stands before `/chat/completions`.
            model: as the endpoint calls it.
            key: what is sent as a bearer token.
            transport: how requests are sent, if not over the network.
            sleep: how waiting is done.
        """
        parts = urlsplit(url)
        more = parts.username or parts.query or parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or more:
            raise ConfigError(f"{url!r} is no address of an endpoint, such as https://host/v1")
        if key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ConfigError(f"{url} is not https: the key would go there in clear")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._transport = transport
        self._url = url.rstrip("/") + "/chat/completions"
        self._host = parts.hostname
        self._model = model
        self._sleep = sleep
        self._tells_logprobs = True

    @property
    def name(self) -> str:
        """The model, and where it is."""
        return f"{self._model} at {self._host}"

    def ask(self, system: str, question: str, most_tokens: int, logprobs: int = 0) -> Answer:
        """See `Reader`. Waits and tries again where the endpoint is busy.

        An endpoint that refuses to be asked for log-probabilities (400, 422) is asked without, then and from then on.
        """
        more = {"logprobs": True, "top_logprobs": logprobs} if logprobs and self._tells_logprobs else {}
        body = {
            "model": self._model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
            "max_tokens": most_tokens,
            "temperature": 0,
            **more,
        }
        for number in range(TRIES):
            response = self._post(body)
            if response is not None and response.status_code in (400, 422) and more:
                self._tells_logprobs = False
                return self.ask(system, question, most_tokens)
            if response is not None and response.status_code not in BUSY:
                return self._read(response)
            if number + 1 < TRIES:
                self._sleep(_pause(response, number))
        if response is None:
            raise ReaderError(f"{self._host} cannot be reached")
        raise ReaderError(f"{self._host} answered {response.status_code}, {TRIES} times")

    def _post(self, body: dict[str, Any]) -> httpx.Response | None:
        options: dict[str, Any] = {"timeout": TIMEOUT, "headers": self._headers, "transport": self._transport}
        try:
            # a connection of its own: what is asked takes seconds, and nobody has to think of closing one
            with httpx.Client(follow_redirects=False, **options) as client:
                return client.post(self._url, json=body)
        except httpx.TransportError:
            return None

    def _read(self, response: httpx.Response) -> Answer:
        if response.is_redirect:
            raise ReaderError(f"{self._host} sends elsewhere ({response.status_code}), where nobody follows")
        if response.status_code != 200:
            raise ReaderError(f"{self._host} answered {response.status_code}: {response.text[:300]}")
        try:
            said = response.json()
            choice, usage = said["choices"][0], said.get("usage") or {}
            text = str(choice["message"]["content"] or "")
            read, written = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
            given = (choice.get("logprobs") or {}).get("content") or []
            return Answer(text, read, written, tuple(map(_said, given)))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise ReaderError(f"{self._host} answered what is no chat completion: {response.text[:300]}") from None


def _said(token: Mapping[str, Any]) -> Said:
    own = (str(token["token"]), float(token["logprob"]))
    others = [(str(each["token"]), float(each["logprob"])) for each in token.get("top_logprobs") or []]
    return Said(own[0], others if own in others else [own, *others])


def _pause(response: httpx.Response | None, number: int) -> float:
    """Seconds before the next try: as many as the endpoint says, else ever more."""
    said = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(said) if said.isdecimal() else 2.0**number, LONGEST_PAUSE)
