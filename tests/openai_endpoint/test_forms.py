"""Reading forms: what clients send, what is no form, and that nothing else ever comes of it."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from governance.errors import InvalidRequest
from governance.transcription_request import TranscriptionForm
from palyra_site.openai_endpoint import forms

BOUNDARY = "the-boundary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
FILE = 'Content-Disposition: form-data; name="file"; filename="talk.wav"'
MODEL = ('Content-Disposition: form-data; name="model"', "scribe")


def body(*parts: tuple[str, str | bytes]) -> bytes:
    """A form's bytes; each part is its headers and its content."""
    pieces = []
    for headers, content in parts:
        raw = content.encode() if isinstance(content, str) else content
        pieces.append(f"--{BOUNDARY}\r\n{headers}\r\n\r\n".encode() + raw + b"\r\n")
    return b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode()


def test_it_reads_what_a_client_sends() -> None:
    audio = bytes(range(256)) * 1000
    request = httpx.Request(
        "POST",
        "http://palyra.test/",
        data={"model": "scribe", "prompt": "Zoë", "timestamp_granularities[]": ["word", "segment"]},
        files={"file": ("a talk.mp3", audio, "audio/mpeg")},
    )
    read = forms.parse(request.headers["content-type"], request.read())
    assert read == TranscriptionForm(
        fields=(
            ("model", "scribe"),
            ("prompt", "Zoë"),
            ("timestamp_granularities[]", "word"),
            ("timestamp_granularities[]", "segment"),
        ),
        filename="a talk.mp3",
        content_type="audio/mpeg",
        audio=audio,
    )


def test_the_files_end_is_found_exactly() -> None:
    audio = b"\r\n--the-boundar\r\n--\r\n\r\n"
    assert forms.parse(TYPE, body(MODEL, (FILE, audio))).audio == audio


def test_a_file_may_come_first_and_say_nothing_of_its_type() -> None:
    read = forms.parse(TYPE, body((FILE, b"RIFF"), MODEL))
    assert read.fields == (("model", "scribe"),)
    assert read.content_type == "application/octet-stream"


@pytest.mark.parametrize(
    "content_type",
    [
        "Multipart/Form-Data; Boundary=the-boundary",
        'multipart/form-data; boundary="the-boundary"',
        "multipart/form-data ; charset=utf-8; boundary=the-boundary",
    ],
)
def test_the_type_may_be_written_as_one_likes(content_type: str) -> None:
    assert forms.parse(content_type, body(MODEL, (FILE, b"RIFF"))).audio == b"RIFF"


def test_of_a_path_only_the_name_is_kept() -> None:
    named = FILE.replace("talk.wav", "../../etc/talk.wav")
    assert forms.parse(TYPE, body((named, b"RIFF"))).filename == "talk.wav"


def test_a_file_of_many_chunks_is_whole() -> None:
    audio = b"0123456789abcdef" * 100_000
    assert forms.parse(TYPE, body(MODEL, (FILE, audio))).audio == audio


@pytest.mark.parametrize(
    ("content_type", "sent", "param"),
    [
        pytest.param("", body(), None, id="no type"),
        pytest.param("application/json", b"{}", None, id="JSON"),
        pytest.param("application/x-www-form-urlencoded", b"model=x", None, id="another form"),
        pytest.param("multipart/mixed; boundary=x", b"", None, id="another multipart"),
        pytest.param("multipart/form-data", body(), None, id="no boundary"),
        pytest.param("multipart/form-data; boundary=", body(), None, id="an empty boundary"),
        pytest.param("multipart/form-data; boundary=é", body(), None, id="a strange boundary"),
        pytest.param("multipart/form-data; boundary*=x'y'%41", b"x", None, id="no such encoding"),
        pytest.param(TYPE, b"", "file", id="nothing"),
        pytest.param(TYPE, b"nonsense", "file", id="nonsense"),
        pytest.param(TYPE, body(), "file", id="no parts"),
        pytest.param(TYPE, body(MODEL), "file", id="no file"),
        pytest.param(
            TYPE, body((FILE, b"one"), (FILE, b"two")), "file", id="two files of the same name"
        ),
        pytest.param(
            TYPE,
            body((FILE.replace('"file"', '"audio"'), b"RIFF")),
            "file",
            id="a file of another name",
        ),
        pytest.param(
            TYPE,
            body(('Content-Disposition: form-data; name="file"', b"RIFF")),
            "file",
            id="a file without a file name",
        ),
        pytest.param(
            TYPE, body((FILE.replace("talk.wav", ".."), b"RIFF")), "file", id="a name that is none"
        ),
        pytest.param(TYPE, body((FILE, b"RIFF"))[:-20], "file", id="broken off"),
        pytest.param(
            TYPE, body((FILE + "\r\nX-More: " + "x" * 2000, b"RIFF")), None, id="huge headers"
        ),
        pytest.param(
            TYPE,
            body((f"{FILE}\r\nContent-Transfer-Encoding: base64", b"!!!!!")),
            None,
            id="no base64",
        ),
        pytest.param(
            TYPE,
            body((FILE.replace("filename=", "filename*=x'y'%41"), b"RIFF")),
            "file",
            id="a name in no such encoding",
        ),
        pytest.param(TYPE, body(*[MODEL] * 1010), None, id="very many fields"),
    ],
)
def test_what_is_no_form_with_one_file_is_refused(
    content_type: str, sent: bytes, param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        forms.parse(content_type, sent)
    assert caught.value.param == param


pieces = st.sampled_from(
    [
        b"--the-boundary",
        b"--",
        b"\r\n",
        b"\n",
        b'Content-Disposition: form-data; name="file"; filename="a"',
        b'Content-Disposition: form-data; name="x"',
        b"content-disposition: form-data; name*=utf-8''x",
        b"Content-Disposition: ; filename=a",
        b"Content-Type: a/b; charset=nope",
        b"Content-Disposition: form-data; name*=hex'en'%41; filename*0*=undefined''%ff",
        b"Content-Disposition: form-data; name=a; filename*=utf-7''+",
        b"Content-Transfer-Encoding: base64",
        b"Content-Length: -1",
        b"\x00\xff",
    ]
) | st.binary(max_size=30)


# The standard library's reader of headers compares a number with nothing here.
@example(b"--the-boundary\r\nContent-Type: a/b; name=a; name*1=b; name*=x''c\r\n\r\n", TYPE)
@given(st.lists(pieces, max_size=30).map(b"".join), st.just(TYPE) | st.text(max_size=60))
@example(body((FILE.replace("filename=", "filename*=nope''%41"), b"x")), TYPE)
def test_any_bytes_are_a_form_or_refused(sent: bytes, content_type: str) -> None:
    try:
        read = forms.parse(content_type, sent)
    except InvalidRequest:
        return
    assert read.filename


@given(st.binary(max_size=400), st.text(max_size=30))
def test_what_is_sent_is_what_is_read(audio: bytes, prompt: str) -> None:
    request = httpx.Request(
        "POST", "http://palyra.test/", data={"prompt": prompt}, files={"file": ("a.wav", audio)}
    )
    read = forms.parse(request.headers["content-type"], request.read())
    assert read.audio == audio
    assert read.fields == (("prompt", prompt),)
