"""Chats become texts by templates: programs of others, which are given a time and no more."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mfn_server.errors import APIError

SECONDS = 2.0  # that a template has; a chat of a megabyte takes some hundredths
START_SECONDS = 60.0  # that its process has to begin, on a machine that has much else to do
MOST_WAITING = 32  # chats, beside the one that is rendered
_LONGEST_LINE = 16 * 2**20  # bytes; a text of a million characters, each of them escaped, has fewer


class TemplateRenderer:
    """Renders chat templates in a process beside the web process and the model, one at a time.

    The process begins with the first chat. One that takes too long is killed, and the next chat gets another.

    Attributes:
        seconds: that a template has.
        most_waiting: chats that wait while another is rendered.
    """

    def __init__(self, seconds: float = SECONDS, most_waiting: int = MOST_WAITING) -> None:
        self.seconds = seconds
        self.most_waiting = most_waiting
        self._asked = 0
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def busy(self) -> bool:
        """Whether a template is being rendered."""
        return self._turn.locked()

    async def render(self, template: str, messages: Sequence[Mapping[str, str]], names: Mapping[str, Any]) -> str:
        """A chat as text, up to where the model is to answer.

        Args:
            template: Jinja, as transformers takes it.
            messages: role and content of each.
            names: what the template finds besides: special tokens, by what they are.

        Raises:
            APIError: 422, the template does not take these messages, or does not come to an end with them; 503, too
                many wait, or the process was ended from elsewhere.
        """
        if self._asked > self.most_waiting:
            message = f"{self.most_waiting} chats wait for their template already"
            raise APIError(503, "busy", message, headers={"Retry-After": "1"})
        self._asked += 1
        try:
            answer = await self._in_turn(
                {"template": template, "messages": messages, "names": names, "seconds": self.seconds}
            )
        finally:
            self._asked -= 1
        if "error" in answer:
            raise _refused(answer["error"])
        text: str = answer["text"]
        return text

    async def close(self) -> None:
        """Ends the process."""
        process = self._process
        self._kill()
        if process is not None:
            await process.wait()

    async def _in_turn(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        async with self._turn:
            try:
                return await self._ask(asked)
            except TimeoutError:
                self._kill()
                raise _refused(f"it is not done within {self.seconds:g} s") from None
            except BaseException:  # whoever asked has left, perhaps: what comes would be the answer to the next
                self._kill()
                raise

    async def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        process = await self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        with suppress(ConnectionError):  # it has ended; there is nothing to be read, then
            await process.stdin.drain()
        return await _answer(process, self.seconds)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mfn_server.chats.template_child", stdin=pipe, stdout=pipe, limit=_LONGEST_LINE
            )
            await _answer(self._process, START_SECONDS)
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()


async def _answer(process: asyncio.subprocess.Process, seconds: float) -> dict[str, Any]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), seconds)
    if not line:
        raise APIError(
            503,
            "templates_lost",
            "the process that renders chat templates has ended; it is started again",
            headers={"Retry-After": "1"},
        )
    found: dict[str, Any] = json.loads(line)
    return found


def _refused(why: str) -> APIError:
    message = f"the chat template does not take these messages: {why}"
    return APIError(422, "chat_template_error", message, field="messages")
