"""What a surface asks for: who asks, what, and how it may be answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from governance import chat_request, embeddings_request, transcription_request
from governance.models import TaskClass
from governance.parsed_request import ParsedRequest
from governance.storable import is_storable
from providers.models import ModelRole
from providers.response_cache import CacheUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a team, through a surface, and the key, person or run it is for.

    `session` is the caller's own name for calls that belong together; it means something only
    within the team.
    """

    team_id: int
    surface: str
    api_key_id: int | None = None
    user_id: int | None = None
    job_id: UUID | None = None
    run_id: UUID | None = None
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A call to be made.

    `body` is a request in OpenAI's format for `role`, a `ModelRole`; for a transcription it is a
    `TranscriptionForm`. `routing_mode` is the mode this request asks for, None if it asks for none.
    With `respond_async` a call that needs approval is kept and made once it is approved; it is then
    asked for again as the call `waiting`. `approvals` were given for this one call. `call_id` is
    the ledger's name for the call where the caller must know it beforehand: the ledger enters no
    second call of that name, whoever asks for it. `patience` is how many seconds it may wait for a
    place at its provider, None for as long as its task class says.
    """

    caller: Caller
    body: Any
    role: str = ModelRole.CHAT.value
    task_class: str = TaskClass.PRIMARY_INTERACTIVE
    cache: CacheUse = CacheUse.DEFAULT
    routing_mode: str | None = None
    respond_async: bool = False
    approvals: tuple[UUID, ...] = ()
    waiting: UUID | None = None
    call_id: UUID | None = None
    patience: float | None = None

    @property
    def may_wait(self) -> bool:
        """Whether it is kept if it needs approval: a recording of speech is too large for that, and
        what no database stores cannot be made later as it was asked for."""
        if not self.respond_async or self.role == ModelRole.AUDIO_TRANSCRIPTION:
            return False
        return is_storable(self.body)

    def parse(self, *, stream: bool = False) -> ParsedRequest:
        """What is asked, checked. Raises `InvalidRequest` naming the field at fault."""
        if self.role == ModelRole.EMBEDDINGS:
            return embeddings_request.parse(self.body)
        if self.role == ModelRole.AUDIO_TRANSCRIPTION:
            return transcription_request.parse(self.body)
        return chat_request.parse(self.body, stream=stream)
