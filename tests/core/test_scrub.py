"""What is hidden, what stays readable, and that argument boundaries survive."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.scrub import MASK, scrub_args


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


@pytest.mark.parametrize(
    "hostile", b"""a= a " ' \\ ://a: password= pwd=/ "a": eyJaaaaaaaa. bearer\xff a.b- ; 'a' x-""".split()
)
def test_a_huge_argument_takes_linear_time(hostile: bytes) -> None:
    """ARG_MAX is 2 MB. A quadratic scan would run into pytest's timeout, minutes later."""
    huge = hostile * (300_000 // len(hostile))
    assert len(scrub_args((b"sh", b"-c", huge))) == 3
