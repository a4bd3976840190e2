"""argv of any process, as /proc/PID/cmdline gives it."""

from __future__ import annotations

from core.text.secrets import MORE, SCRUBBED, scrub_args, scrub_cmdline
from tests.fuzz.harness import corpus, fuzz, mutator

TOKENS = b"""--password= pw= mysql\0-p bash\0-c " ' \\ = : ; :// @ eyJ . - bearer cookie: ghp_""".split()


def _target(data: bytes) -> None:
    args = tuple(data.split(b"\0"))
    shown = scrub_args(args)
    assert len(shown) == min(len(args), 4097)
    assert len(b"".join(shown)) <= 9 * SCRUBBED
    assert len(scrub_cmdline(data, 100)) <= 900 + len(MORE)


def test_scrub() -> None:
    fuzz(_target, corpus("scrub"), name="scrub", mutate=mutator(TOKENS))
