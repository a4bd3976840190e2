"""What is hidden, what stays readable, and that argument boundaries survive."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.text.secrets import MASK, MORE, SCRUBBED, scrub_args, scrub_cmdline
from tests.work import LINEAR, TIMES, growth


def scrub(*args: str) -> list[str]:
    return [arg.decode() for arg in scrub_args(tuple(arg.encode() for arg in args))]


M = MASK.decode()
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        # options and assignments of any program
        (["app", "--password=hunter2"], ["app", f"--password={M}"]),
        (["app", "--password", "a b", "run"], ["app", "--password", M, "run"]),
        (["app", "-password", "x1"], ["app", "-password", M]),
        (["app", "--password=a b=c&d"], ["app", f"--password={M}"]),
        (["app", "--api-key", "k1", "--apikey=k2"], ["app", "--api-key", M, f"--apikey={M}"]),
        (["app", "--password", "-Xk39a"], ["app", "--password", M]),
        (["env", "PGPASSWORD=x1", "psql"], ["env", f"PGPASSWORD={M}", "psql"]),
        (["docker", "run", "--env=DB_PASS=x1"], ["docker", "run", f"--env=DB_PASS={M}"]),
        (["java", "-Djavax.net.ssl.keyStorePassword=x1"], ["java", f"-Djavax.net.ssl.keyStorePassword={M}"]),
        (["app", "accessToken=x1", "tokenValue=x2"], ["app", f"accessToken={M}", f"tokenValue={M}"]),
        (["mount", "-o", "username=a,password=b1,uid=0"], ["mount", "-o", f"username=a,password={M},uid=0"]),
        (["app", "Server=h;Uid=a;Pwd=b1;Timeout=3"], ["app", f"Server=h;Uid=a;Pwd={M};Timeout=3"]),
        (["curl", "-d", '{"password": "a b", "n": 1}'], ["curl", "-d", f'{{"password": "{M}", "n": 1}}']),
        # options of programs we know
        (["/usr/bin/mysql", "-phunter2", "-P", "3306"], ["/usr/bin/mysql", f"-p{M}", "-P", "3306"]),
        (["sudo", "-u", "root", "mysql", "-psecret", "db"], ["sudo", "-u", "root", "mysql", f"-p{M}", "db"]),
        (["sshpass", "-p", "x1", "ssh", "h"], ["sshpass", "-p", M, "ssh", "h"]),
        (["curl", "-u", "me:x1", "-Ume:x2"], ["curl", "-u", f"me:{M}", f"-Ume:{M}"]),
        (["smbclient", "-U", "me%x1"], ["smbclient", "-U", f"me%{M}"]),
        (["docker", "login", "-p", "x1"], ["docker", "login", "-p", M]),
        # shells
        (["sh", "-c", "PGPASSWORD=x1 psql -h y"], ["sh", "-c", f"PGPASSWORD={M} psql -h y"]),
        (["bash", "-lc", "cd /x && mysql -px1 db"], ["bash", "-lc", f"cd /x && mysql -p{M} db"]),
        (["sh", "-c", "bash -c 'mysql -px1 db'"], ["sh", "-c", f"bash -c 'mysql -p{M} db'"]),
        (["ssh", "host", "mysql -px1 db"], ["ssh", "host", f"mysql -p{M} db"]),
        (["mysql -px1 db"], [f"mysql -p{M} db"]),
        # URLs, headers, shapes
        (["git", "clone", "https://me:x@1@h/r"], ["git", "clone", f"https://me:{M}@h/r"]),
        (["app", "redis://:x1@h:6379/0"], ["app", f"redis://:{M}@h:6379/0"]),
        (["app", "https://h/?a=b&access_token=x1&c=d"], ["app", f"https://h/?a=b&access_token={M}&c=d"]),
        (["curl", "-H", "Authorization: Basic x1"], ["curl", "-H", f"Authorization: {M}"]),
        (["curl", "-H", "X-Api-Key:x1"], ["curl", "-H", f"X-Api-Key:{M}"]),
        (["app", "AKIAIOSFODNN7EXAMPLE"], ["app", M]),
        (["app", "x=ghp_" + "a" * 36], ["app", f"x={M}"]),
        (["app", JWT], ["app", M]),
        (["app", "-----BEGIN RSA PRIVATE KEY-----\nMIIE"], ["app", f"-----BEGIN RSA PRIVATE KEY-----{M}"]),
    ],
)
def test_secrets_are_hidden(args: list[str], shown: list[str]) -> None:
    assert scrub(*args) == shown


@pytest.mark.parametrize(
    "args",
    [
        ["app", "--password-file=/run/pw", "--password-file", "/run/pw", "--token-ttl", "3"],
        ["psql", "--no-password", "db"],
        ["ansible", "--ask-become-pass", "site.yml"],
        ["app", "--password", "--verbose"],
        ["app", "--password="],
        ["app", "--use-token=true", "--max-tokens", "5", "--tokenizer", "bert", "TOKENIZER=x"],
        ["env", "PWD=/home/me", "OLDPWD=/", "KEYBOARD=us", "AUTHOR=me", "MONKEY=1"],
        ["ssh", "-p", "22", "host"],
        ["docker", "run", "-p", "80:80", "mysql"],
        ["mysql", "-p", "db"],
        ["git", "commit", "-m", "fix the --password flag of tokens"],
        ["git", "clone", "https://git@host/r", "ssh://git@host:22/r"],
        ["app", "http://host:80/path@2x.png", "me@example.org"],
        ["docker", "run", "-v", "/etc/secret:/run/secret:ro"],
        ["ansible", "--private-key=/home/me/.ssh/id"],
        ["ffmpeg", "-pass", "1"],
        ["kubectl", "get", "secret", "web"],
        ["nginx: master process nginx -g daemon off;"],
        ["Asia/Tokyo", "the", "bearer", "of", "skills"],
        ["", ""],
        [],
    ],
)
def test_ordinary_words_stay_readable(args: list[str]) -> None:
    given_args = tuple(arg.encode() for arg in args)
    assert scrub_args(given_args) is given_args


WORDS = f"--password mysql -p sh -c token x1 Authorization bearer AKIA curl -u PWD sudo {M}".split()
PIECE = st.sampled_from([*WORDS, *"='\"\\:@&;,{ \n\xff/", "://", ""])
ARGUMENT = st.lists(PIECE, max_size=8).map(lambda pieces: "".join(pieces).encode("latin-1"))


@settings(deadline=None)
@given(st.lists(ARGUMENT | st.binary(max_size=20), max_size=6).map(tuple))
def test_boundaries_stay_and_twice_is_once(args: tuple[bytes, ...]) -> None:
    once = scrub_args(args)
    assert len(once) == len(args)
    assert scrub_args(once) == once
    if args and len(args[0].split()) < 2:
        assert once[0] == args[0]


LETTERS = string.ascii_letters + string.digits + "+_.~^%"
SECRET = st.text(LETTERS, min_size=12, max_size=40).map(lambda text: "Zq" + text)
PLACES = st.sampled_from(
    [
        ["app", "--password={}"],
        ["app", "--client-secret", "{}"],
        ["app", "-e", "AWS_SECRET_ACCESS_KEY={}"],
        ["mysqldump", "-p{}", "db"],
        ["app", "postgres://u:{}@h/db"],
        ["curl", "-u", "u:{}"],
        ["curl", "-HAuthorization: token {}"],
        ["sh", "-c", "app --password {} | cat"],
        ["sh", "-c", "app --token='{}'"],
        ["app", '{{"api_key":"{}"}}'],
    ]
)


@given(PLACES, SECRET)
def test_no_secret_is_left(places: list[str], secret: str) -> None:
    shown = scrub(*(place.format(secret) for place in places))
    assert secret not in "\0".join(shown)
    assert M in "\0".join(shown)


HOSTILE = b"""a= a " ' \\ ://a: password= pwd=/ "a": eyJaaaaaaaa. bearer\xff a.b- ; 'a' x- -eyJ- x-eyJ-
    -eyJaaaaaaaa ghp_ sk- pw=' "pw":\\" 'pw':\\' cookie -----BEGIN AKIA //a@ mysql\xff-px""".split()


def grows(family: bytes, within: tuple[bytes, ...] = (b"sh", b"-c")) -> float:
    """Return how the work grows with `family` repeated; `limit` is out of the way."""

    def scrub_it(huge: bytes) -> object:
        return scrub_args((*within, huge), limit=1 << 22)

    count = 2048 // len(family) + 1
    return growth(scrub_it, family * count, family * count * TIMES)


@pytest.mark.parametrize("within", [(b"sh", b"-c"), (b"app",), (b"curl", b"-u")], ids=["sh", "app", "curl"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_work_is_linear_whatever_the_argument(hostile: bytes, within: tuple[bytes, ...]) -> None:
    assert grows(hostile, within) < LINEAR


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([*HOSTILE, *(b" ", b"\n", b"\\", b"-", b"=")]), min_size=1, max_size=4))
def test_the_work_is_linear_for_what_hypothesis_finds(pieces: list[bytes]) -> None:
    assert grows(b"".join(pieces)) < LINEAR


@pytest.mark.parametrize(
    "args",
    [
        (b"bash", b"-c", b"sleep 30; :", *[b"x-eyJ-" * 21800] * 12),
        (b"app", *[b"pw"] * 500_000),
        (b"sh", b"-c", b"pw=a " * 400_000),
        (b"mysql -px; " * 150_000,),
    ],
    ids=["few large", "many small", "one command", "a title"],
)
def test_of_a_very_long_argv_the_front_is_looked_at_and_the_rest_is_marked(args: tuple[bytes, ...]) -> None:
    shown = scrub_args(args)
    assert len(shown) == min(len(args), 4097)
    assert sum(map(len, shown)) < 8 * SCRUBBED
    assert b"\0".join(shown).endswith(MORE)


CUT = (b"postgres://u:%s@h", b"x=ghp_%s", b"%s.%s.%s", b'"pw": "%s %s"')


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.sampled_from(CUT))
def test_a_secret_that_is_cut_through_is_not_shown(before: int, kind: bytes) -> None:
    secret = b"eyJ" + b"Zq1" * 60
    args = (b"app", b"a " * before + kind.replace(b"%s", secret))
    for limit in range(2 * before, 2 * before + 200, 23):
        assert b"Zq1Zq1" not in b"\0".join(scrub_args(args, limit))
        assert b"Zq1Zq1" not in scrub_cmdline(b"\0".join(args) + b"\0", limit)


def test_a_value_whose_quote_is_not_closed_is_hidden_to_the_end() -> None:
    assert scrub("app", '{"password": "a b') == ["app", f'{{"password": "{M}"']
    assert scrub("app", "x password='a b") == ["app", f"x password='{M}'"]


def test_a_command_line_is_one_text() -> None:
    assert scrub_cmdline(b"app\0--password\0x1\0", 100) == b"app --password " + MASK
    assert scrub_cmdline(b"", 100) == b""
    assert scrub_cmdline(b"app\0" + b"a " * 100, 50).endswith(b"a " + MORE)
