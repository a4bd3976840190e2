"""Secrets in argv: hidden before a command line is shown, recorded or exported.

Each argument is judged by itself and by the argument before it; the list is never joined and split again, so
the boundaries between arguments are kept. Hidden are

* values of secret names: `--password=x`, `--password x`, `PGPASSWORD=x`, `-Ddb.password=x`, `"token": "x"`;
* passwords in short options of known tools: `mysql -px`, `sshpass -p x`, `curl -u me:x`;
* the password in a URL, header values such as `Authorization: …`, and text with the shape of a
  well-known key (AWS, GitHub, GitLab, Slack, Stripe, Google, JWT, PEM).

Users choose the argv of their processes, up to 2 MB. So every search here takes linear time, and only the
front of a very long argv is read: the rest is replaced by `…`.

Values of names for a file, length or policy of a secret (`--password-file`, `--token-ttl`) stay readable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

MASK = b"********"
MORE = "…".encode()
"""Replaces the part of a long argv that was not scanned and is therefore not shown."""

SCRUBBED = 1 << 16
"""Default limit of the scanned bytes of an argv."""

_MOST_WORDS = 4096
"""Limit of the scanned arguments and words of shell commands: each costs some 10 us."""

_LONGEST_CUT_WORD = 1024
"""Bytes that are dropped where a word is cut, because half a secret is not recognizable as one."""

_NAME_LIMIT = 128
_NESTING_LIMIT = 3
_WRAPPED_WITHIN = 16
"""How many arguments after a wrapper such as sudo are searched for the real tool."""

# A command line that contains none of these (in lower case), and no tool of `_TOOLS`, has no known secret.
# They are str because `in` is four times faster for str than for bytes: most lines are done here, after 1 us.
_HINTS = (
    *("pass", "pw", "secret", "token", "key", "cred", "auth", "bearer", "cookie", "@"),
    *("akia", "asia", "gh", "eyj", "xox", "glpat-", "aiza", "sk", "rk_", "npm_"),
)

_SECRET_WORD = re.compile(
    rb"""(?: (?i: passwords? | passwd | passphrase | passcode | secrets? | token | credentials? | creds?
              | (?: api | access | secret | auth | account | encryption | signing | master | app
                  | license | private ) [-_.]? key
              | (?: db | user | root | admin ) (?: pass | pwd ) )
           | (?<![A-Za-z]) (?i: pass | pwd | pw ) (?= $ | [\d_.-]* $ ) )
         (?! [a-z] | (?<= [A-Z] ) [A-Z] )   # `tokenizer` and `TOKENIZER` are no tokens; `tokenValue` is one
    """,
    re.VERBOSE,
)
_HARMLESS_TAIL = re.compile(
    rb"""(?i) [-_.]? (?: files? | path | dir | directory | names? | ids? | url | uri | endpoint | host | port
        | type | kind | mode | ttl | expiry | expiration | lifetime | duration | timeout | length | len | size
        | count | limit | policy | stdin | fd | prompt | env | var | store | manager | provider | command
        | cmd | helper | format | version | algorithm | method | source | ref | arn | prefix | suffix
        | required ) $
    """,
    re.VERBOSE,
)
_SWITCH = re.compile(
    rb"(?i)(?:no|ask|skip|disable|enable|prompt|require|allow|use|without|show|generate|force)[-_.]"
)
"""Prefix of an option's name that means it takes no value: `--no-password`, `--ask-pass`."""

_NO_SECRET = re.compile(rb"(?i)true|false|yes|no|on|off|none|null|\d|\*+|")
_LOOKS_LIKE_OPTION = re.compile(rb"--[a-z][a-z0-9-]*(?:=.*)?|-[A-Za-z]", re.DOTALL)
_LOOKS_LIKE_PATH = re.compile(rb"(?:~|\.{1,2})?/")

_OPTION = re.compile(rb"--?([A-Za-z][\w.-]*)")
_ASSIGNMENT = re.compile(rb"(?:--?|/)?([A-Za-z_][\w.-]*)=", re.ASCII)
# The look-behind makes the search linear: a run of name characters is tried at its start only.
_INNER_ASSIGNMENT = re.compile(rb"(?<![\w.-])[\w.-]++=")
_INNER_VALUE = re.compile(rb"\"(?:[^\"\\]|\\.)*+(?:\"|\\?\Z)|'[^']*+(?:'|\Z)|[^\s&;,\"']++", re.DOTALL)
_QUOTED_NAME = re.compile(rb"\\?[\"']([\w.-]{1,128}+)\\?[\"']\s*+:\s*+")
_QUOTED_VALUE = re.compile(
    rb"\\\"(?:[^\"\\]|\\[^\"])*+(?:\\\"|\\?\Z)|\"(?:[^\"\\]|\\.)*+(?:\"|\\?\Z)|'[^']*+(?:'|\Z)|[^\s,}\]\"']++",
    re.DOTALL,
)
_HEADER = re.compile(
    rb"""(?i) (?: (?<! [\w.-] ) | (?<= -H ) ) ( (?: proxy- )? authorization | (?: set- )? cookie
        | x-[\w-]{0,40} (?: token | key | secret | password | auth )
        | (?: private | deploy | job | api | auth | access ) -? (?: token | key ) ) \s*+ : \s*+ ([^"'\r\n]++)
    """,
    re.VERBOSE,
)
_HEADER_NAME = re.compile(rb"(?i)(?:proxy-)?authorization:")
_BEARER_TOKEN = re.compile(rb"[\w.~+/=-]{16,}", re.ASCII)
_SHAPES = (
    re.compile(rb"(?<=://)([^\s/?#:@\"']*+:)[^\s/?#\"']+(?=@)"),
    re.compile(rb"(?<=://)()[\w-]{20,}(?=@)", re.ASCII),
    re.compile(rb"(?i)(?<!\w)(bearer\s++)[\w.~+/=-]{16,}", re.ASCII),
    re.compile(rb"(?<!\w)()(?:AKIA|ASIA)[A-Z0-9]{16}(?!\w)", re.ASCII),
    re.compile(rb"(?<!\w)()(?:gh[pousr]_|github_pat_|glpat-|npm_)[\w-]{20,}", re.ASCII),
    re.compile(rb"(?<!\w)()(?:xox[abeoprs]-|[sr]k_(?:live|test)_|AIza|sk-)[\w-]{16,}", re.ASCII),
    re.compile(rb"(-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----).*", re.DOTALL),
)
"""Group 1 is kept, the rest of the match is hidden."""

_JWT = re.compile(rb"(?<!\w)eyJ[\w-]{8,}+(\.[\w-]{8,}+(?:\.[\w-]*+)?)?", re.ASCII)
"""Without group 1 the match is not a JWT. It matches anyway, so that the search continues after it: a search
that restarted at each `eyJ` of `-eyJ-eyJ-eyJ…` would take quadratic time."""

_QUOTED = rb"'[^']*+'|\"(?:[^\"\\]|\\.)*+\"|\\."
_SHELL_WORD = re.compile(rb"((?:" + _QUOTED + rb"|[^\s'\"\\]++|['\"\\])++)", re.DOTALL)
_SIMPLE_COMMAND = re.compile(rb"((?:" + _QUOTED + rb"|[^;|&\n'\"\\]++|['\"\\])++)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Tool:
    """How one program takes secrets. Without the argument `needs` its options mean something else."""

    joined: tuple[bytes, ...] = ()
    separate: tuple[bytes, ...] = ()
    pair: tuple[bytes, ...] = ()
    between: bytes = b":"
    needs: bytes = b""
    shell: bool = False


def _tools() -> dict[bytes, _Tool]:
    login = _Tool(joined=(b"-p",), separate=(b"-p",), needs=b"login")
    table = {
        b"mysql mysqldump mysqladmin mysqlimport mysqlcheck mysqlshow mysqlsh mysqlbinlog mysqlslap "
        b"mariadb mariadb-dump mariadb-admin mariadb-check 7z 7za 7zr rar unrar": _Tool(joined=(b"-p",)),
        b"sshpass": _Tool(joined=(b"-p",), separate=(b"-p",)),
        b"mongo mongosh mongodump mongorestore mongoexport mongoimport rdesktop": _Tool(separate=(b"-p",)),
        b"redis-cli": _Tool(separate=(b"-a",)),
        b"curl": _Tool(pair=(b"-u", b"-U", b"--user", b"--proxy-user")),
        b"http https": _Tool(pair=(b"-a", b"--auth")),
        b"smbclient rpcclient": _Tool(pair=(b"-U", b"--user"), between=b"%"),
        b"ldapsearch ldapmodify ldapadd ldapdelete ldapwhoami": _Tool(joined=(b"-w",), separate=(b"-w",)),
        b"sqlcmd bcp ipmitool unzip zip": _Tool(joined=(b"-P",), separate=(b"-P",)),
        b"plink pscp psftp": _Tool(separate=(b"-pw",)),
        b"xfreerdp wlfreerdp": _Tool(joined=(b"/p:",)),
        b"snmpget snmpset snmpwalk snmpbulkwalk snmptrap": _Tool(separate=(b"-A", b"-X")),
        b"openssl": _Tool(separate=(b"-pass", b"-passin", b"-passout", b"-k", b"-K")),
        b"docker podman nerdctl buildah skopeo helm": login,
        b"sh bash dash ash zsh ksh su runuser": _Tool(shell=True),
    }
    return {name: tool for names, tool in table.items() for name in names.split()}


_TOOLS = _tools()
_WRAPPERS = frozenset(
    b"sudo doas env nice ionice nohup timeout time chrt taskset setsid stdbuf strace ltrace unshare nsenter "
    b"chroot xargs watch busybox python python3 ssh kubectl docker podman nerdctl".split()
)
_PLAIN = _Tool()


class _Expected(Enum):
    """What the previous argument implies about this one."""

    ANYTHING = auto()
    SECRET = auto()
    BEARER = auto()
    PAIR = auto()
    COMMAND = auto()


@dataclass(slots=True)
class _Work:
    """How many more words may be scanned."""

    words: int = _MOST_WORDS


def scrub_args(args: tuple[bytes, ...], limit: int = SCRUBBED) -> tuple[bytes, ...]:
    """Return `args` with secrets replaced by `********`.

    The number of arguments stays the same. The first one, the program's name, is kept; if it is a whole
    command line (a process may rewrite its title) only its first word is. Scrubbing twice changes nothing
    more. The same tuple is returned when nothing looks like a secret.

    Of more than `limit` bytes or 4,096 arguments the front is kept: a cut argument ends with `…`, each one
    after it becomes `…`, and those after the 4,096th become a single `…`.
    """
    if not args:
        return args
    shown = _front(args, limit)
    if not _may_hold_secret(shown):
        return shown
    work = _Work()
    head = _scrub_command(shown[0], work, 1) if len(shown[0].split(None, 1)) > 1 else shown[0]
    scrubbed = (head, *_scrub_words(list(shown), work, 0)[1:])
    return shown if scrubbed == shown else scrubbed


def scrub_cmdline(cmdline: bytes, limit: int) -> bytes:
    """Return the front of /proc/PID/cmdline as one line without secrets: arguments with blanks between."""
    args = cmdline.removesuffix(b"\0") if len(cmdline) <= limit else cmdline[: limit + 1]
    return b" ".join(scrub_args(tuple(args.split(b"\0")), limit)) if args else b""


def _front(args: tuple[bytes, ...], limit: int) -> tuple[bytes, ...]:
    """Return the part of `args` that is scanned; the same tuple when that is all of it."""
    if len(args) <= _MOST_WORDS and sum(map(len, args)) + len(args) <= limit + 1:
        return args
    kept: list[bytes] = []
    left = limit
    for arg in args[:_MOST_WORDS]:
        kept.append(arg if len(arg) <= left else _cut(arg, left))
        left = max(0, left - len(arg) - 1)
    if len(args) > _MOST_WORDS:
        kept.append(MORE)
    return tuple(kept)


def _cut(word: bytes, limit: int) -> bytes:
    """Return the front of `word` without the piece at the cut, followed by a mark."""
    blanks = max(
        word.rfind(blank, max(0, limit - _LONGEST_CUT_WORD), limit) for blank in (b" ", b"\n", b"\t")
    )
    return word[: max(0, limit - _LONGEST_CUT_WORD) if blanks < 0 else blanks + 1] + MORE


def scrub_value(name: bytes, value: bytes) -> bytes:
    """Return the value of a label or variable with secrets hidden; all of it if `name` is a secret name."""
    if _hides(name, value):
        return value if _NO_SECRET.fullmatch(value) else MASK
    return _scrub_text(value) if _may_hold_secret((b"", value)) else value


def _may_hold_secret(args: tuple[bytes, ...]) -> bool:
    text = b"\0".join(args).decode("latin-1").lower()
    for hint in _HINTS:  # any() with a generator would take three times as long
        if hint in text:
            return True
    name = _base_name(args[0].partition(b" ")[0])
    if name in _WRAPPERS:
        return not _TOOLS.keys().isdisjoint(map(_base_name, b" ".join(args).split()))
    return name in _TOOLS


def _base_name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _scrub_words(words: list[bytes], work: _Work, depth: int) -> list[bytes]:
    """Scrub the arguments after the first one."""
    tool = _tool_of(words)
    shown = words[:1]
    for index in range(1, len(words)):
        work.words -= 1
        if work.words < 0:
            return shown + [MORE] * (len(words) - index)
        expected = _expected_after(words[index - 1], tool)
        shown.append(_scrub_word(words[index], expected, tool, work, depth))
    return shown


def _tool_of(words: list[bytes]) -> _Tool:
    """Return the program that interprets the options: the first word, or the one after a wrapper."""
    wrapped = False
    for word in words[:_WRAPPED_WITHIN]:
        name = _base_name(word)
        tool = _TOOLS.get(name)
        if tool is not None and (not tool.needs or tool.needs in words):
            return tool
        wrapped = wrapped or name in _WRAPPERS
        if not wrapped and not _ASSIGNMENT.match(word):  # VAR=x mysql …, in a shell's command
            break
    return _PLAIN


def _expected_after(previous: bytes, tool: _Tool) -> _Expected:
    if previous in tool.pair:
        return _Expected.PAIR
    if tool.shell and previous.startswith(b"-") and previous.endswith(b"c"):
        return _Expected.COMMAND
    if previous.lower() == b"bearer":
        return _Expected.BEARER
    if previous in tool.separate or _HEADER_NAME.fullmatch(previous):
        return _Expected.SECRET
    option = None if previous.startswith(tool.joined) else _OPTION.fullmatch(previous)
    takes_secret = option and _is_secret_name(option[1]) and not _SWITCH.match(option[1])
    return _Expected.SECRET if takes_secret else _Expected.ANYTHING


def _is_secret_name(name: bytes) -> bool:
    name = name[-_NAME_LIMIT:]
    return bool(_SECRET_WORD.search(name)) and not _HARMLESS_TAIL.search(name)


def _scrub_word(word: bytes, expected: _Expected, tool: _Tool, work: _Work, depth: int) -> bytes:
    if expected is _Expected.SECRET and not _LOOKS_LIKE_OPTION.fullmatch(word):
        return word if _NO_SECRET.fullmatch(word) else MASK
    if expected is _Expected.BEARER and _BEARER_TOKEN.fullmatch(word):
        return MASK
    if expected is _Expected.PAIR:
        return _hide_after(word, tool.between)
    first, *others = word.split(None, 1) or [b""]
    if expected is _Expected.COMMAND or (others and _base_name(first) in _TOOLS):  # ssh host "mysql -px"
        return _scrub_command(word, work, depth + 1)
    return _scrub_joined(word, tool) or _scrub_text(word)


def _scrub_joined(word: bytes, tool: _Tool) -> bytes | None:
    """Scrub `-pSECRET` and `-uUSER:SECRET`; None for other words."""
    for option in tool.joined:
        if word.startswith(option) and len(word) > len(option):
            return option + MASK
    for option in tool.pair:
        if word.startswith(option) and len(word) > len(option):
            return option + _hide_after(word.removeprefix(option), tool.between)
    return None


def _hide_after(word: bytes, separator: bytes) -> bytes:
    user, separated, secret = word.partition(separator)
    return user + separator + MASK if separated and secret else word


def _scrub_command(command: bytes, work: _Work, depth: int) -> bytes:
    """Scrub a shell's command line word by word; the text between words is kept."""
    if depth > _NESTING_LIMIT:
        return _scrub_text(command)
    quoted = len(command) > 1 and command[:1] in (b"'", b'"') and command[-1:] == command[:1]
    quote = command[:1] if quoted else b""
    command = _scrub_text(command[1:-1] if quote else command, whole=False)
    shown: list[bytes] = []
    for part in _SIMPLE_COMMAND.split(command):
        if work.words <= 0:
            shown.append(MORE)
            break
        shown.append(_scrub_simple_command(part, work, depth))
    return quote + b"".join(shown) + quote


def _scrub_simple_command(command: bytes, work: _Work, depth: int) -> bytes:
    """Scrub one command without `;` or `|`: all words, the first too, because it may be an assignment."""
    parts = _SHELL_WORD.split(command)  # blanks at even places, words at odd ones
    rest = [MORE] if len(parts) // 2 > work.words else []
    parts = parts[: 2 * work.words]
    work.words -= 1
    words = _scrub_words(parts[1::2], work, depth)
    parts[1::2] = [_scrub_text(words[0]), *words[1:]] if words else []
    return b"".join(parts + rest)


def _scrub_text(text: bytes, *, whole: bool = True) -> bytes:
    """Scrub secrets that are recognizable in themselves. `whole`: a value reaches to the end of the text."""
    front = _ASSIGNMENT.match(text) if whole else None
    if front and _hides(front[1], text, front.end()):
        return text if _NO_SECRET.fullmatch(text, front.end()) else front[0] + MASK
    text = _hide_values(text, _INNER_ASSIGNMENT, _INNER_VALUE)
    text = _hide_values(text, _QUOTED_NAME, _QUOTED_VALUE)
    text = _HEADER.sub(_hide_header, text)
    for shape in _SHAPES:
        text = shape.sub(rb"\1" + MASK, text)
    return _JWT.sub(lambda match: MASK if match[1] else match[0], text)


def _hides(name: bytes, text: bytes, start: int = 0) -> bool:
    """Return whether the value of `name`, which begins at `start`, is a secret to hide."""
    if not _is_secret_name(name):
        return False
    lowered = name.lower().lstrip(b"-")
    may_be_path = lowered == b"pwd" or lowered.endswith((b"private_key", b"private-key", b"privatekey"))
    return not (may_be_path and _LOOKS_LIKE_PATH.match(text, start))


def _hide_values(text: bytes, names: re.Pattern[bytes], values: re.Pattern[bytes]) -> bytes:
    """Hide the value after each secret name; a loop, because names may follow each other (`a=b=c=…`)."""
    pieces: list[bytes] = []
    end = 0
    match = names.search(text)
    while match:
        name = match[1] if names.groups else match[0].rstrip(b"=")
        following = match.end()
        value = values.match(text, following) if _hides(name, text, following) else None
        if value and not _NO_SECRET.fullmatch(value[0].strip(b"\"'\\")):
            quote = value[0][:1] if value[0][:1] in (b'"', b"'") else b""
            quote = b'\\"' if value[0].startswith(b'\\"') else quote
            pieces += [text[end : match.end()], quote, MASK, quote]
            end = following = value.end()
        match = names.search(text, following)
    return b"".join(pieces) + text[end:] if pieces else text


def _hide_header(match: re.Match[bytes]) -> bytes:
    if _NO_SECRET.fullmatch(match[2]):
        return match[0]
    return match[0][: match.start(2) - match.start()] + MASK
