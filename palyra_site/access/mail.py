"""E-mail to people who cannot sign in, sent while they are shown a page."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from django.core.mail import EmailMessage

logger = logging.getLogger("palyra.access")
# One at a time is enough for what people ask for by hand, and is all that a mail server sees of it.
_sending = ThreadPoolExecutor(max_workers=1, thread_name_prefix="palyra-mail")


def send_later(message: EmailMessage) -> Future[None]:
    """Send it from a thread of its own. A failure is said in the log, without what it says."""
    return _sending.submit(_send, message)


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except Exception as error:
        logger.warning(
            "An e-mail to somebody who forgot a password failed: %s", type(error).__name__
        )
