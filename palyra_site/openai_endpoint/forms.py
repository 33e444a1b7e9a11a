"""Reading `multipart/form-data`: a transcription's fields and its file, in memory."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from typing import Any

from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from governance.errors import InvalidRequest
from governance.transcription_request import FILE, TranscriptionForm
from palyra_site.openai_endpoint.requests import Request

FORM = "multipart/form-data"
# OpenAI takes files of 25 MiB; what is around the file has a MiB. Other bodies have the smaller
# limit of the settings, because each is held in memory as a whole.
AUDIO_BODY_LIMIT = 26 * 1024 * 1024
# Fewer than the console's own forms may have: each is passed on to the host.
MOST_FIELDS = 1000
UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class _Upload:
    """A file of the form."""

    field: str
    filename: str
    content_type: str
    content: bytes


class _InMemory(FileUploadHandler):
    """Keeps files in memory: the size of the whole body is bounded already."""

    def __init__(self) -> None:
        super().__init__()
        self.uploads: list[_Upload] = []
        self._pieces: list[bytes] = []

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._pieces = []

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._pieces.append(raw_data)

    def file_complete(self, file_size: int) -> None:
        content, self._pieces = b"".join(self._pieces), []
        self.uploads.append(
            _Upload(
                self.field_name or "",
                self.file_name or "",
                self.content_type or UNKNOWN_TYPE,
                content,
            )
        )


async def read(request: Request) -> TranscriptionForm:
    """The request's form. Raises `InvalidRequest` if its body is none."""
    body = await request.read(limit=max(request.body_limit, AUDIO_BODY_LIMIT))
    # A large file takes a while; other calls need the event loop meanwhile.
    return await asyncio.to_thread(parse, request.header(b"content-type"), body)


def parse(content_type: str, body: bytes) -> TranscriptionForm:
    """The form in `body`. Raises `InvalidRequest` if it is none, or has not exactly one file."""
    kind, _, rest = content_type.partition(";")
    if kind.strip().lower() != FORM:
        raise InvalidRequest(f"Send a transcription's request as {FORM}, with the audio as “file”.")
    kept = _InMemory()
    described = {"CONTENT_TYPE": f"{FORM};{rest}", "CONTENT_LENGTH": len(body)}
    try:
        fields, _files = MultiPartParser(described, io.BytesIO(body), [kept]).parse()
    except Exception as error:
        # The parser has errors of its own, but those of the standard library, which reads the
        # parts' headers, are of any kind. It works on nothing but the body: that is at fault.
        why = f": {error}." if isinstance(error, MultiPartParserError) else "."
        raise InvalidRequest(f"The request body is not {FORM}{why}") from None
    written = tuple((name, text) for name, texts in fields.lists() for text in texts)
    if len(written) > MOST_FIELDS:
        raise InvalidRequest(f"A transcription's request has at most {MOST_FIELDS:,} fields.")
    upload = _only_file(kept.uploads)
    return TranscriptionForm(
        fields=written,
        filename=upload.filename,
        content_type=upload.content_type,
        audio=upload.content,
    )


def _only_file(uploads: list[_Upload]) -> _Upload:
    for upload in uploads:
        if upload.field != FILE:
            raise InvalidRequest(
                f"The audio is sent as “{FILE}”, not as “{upload.field[:50]}”.", param=FILE
            )
    if len(uploads) != 1:
        raise InvalidRequest(f"Send one audio file, with its file name, as “{FILE}”.", param=FILE)
    return uploads[0]
