"""rgw-admin as a whole: its page is true, every command of radosgw-admin answers, a pipe gets JSON alone, words are completed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rgw.cli import output
from rgw.cli.admin.grammar import ordered
from rgw.cli.admin.unsupported import COMMANDS
from rgw.cli.main import rgw_admin

ROOT = Path(__file__).resolve().parent.parent.parent


def built(group: click.Group = rgw_admin, before: str = "") -> list[str]:
    """Every command that is built, by its words."""
    found = []
    for word, command in group.commands.items():
        if command.hidden:
            continue
        name = f"{before} {word}".strip()
        found += built(command, name) if isinstance(command, click.Group) else [name, *(f"{name} {word}" for word in kinds(command))]
    return found


def kinds(command: click.Command) -> list[str]:
    """The words of an argument that chooses what the command does (`bucket check olh`)."""
    return [word for parameter in command.params if isinstance(parameter, click.Argument) and isinstance(parameter.type, click.Choice)
            for word in parameter.type.choices]


def test_the_page_is_true():
    spec = util.spec_from_file_location("admin_docs", ROOT / "scripts" / "admin_docs.py")
    assert spec is not None and spec.loader is not None
    docs = util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.made_true(page).splitlines() == page.splitlines(), "run scripts/admin_docs.py"


def test_the_page_shows_every_command():
    page = (ROOT / "docs" / "admin.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\$ rgw-admin (.*)$", page, re.MULTILINE)
    assert [name for name in built() if not any(line == name or line.startswith(name + " ") for line in shown)] == []


def test_what_is_not_built_says_so_by_name():
    known = set(built())
    names = [f"{family} {word}".strip() for family, words in COMMANDS.items() for word in words.split()]
    assert len(names) == 174 and known & set(names)
    for name in names:
        done = CliRunner().invoke(rgw_admin, [*name.split(), "--bucket", "b", "--whatever", "x"])
        if name in known:
            assert done.exit_code == 22 and "not implemented" not in done.output, name  # it knows its options
        else:
            assert done.exit_code == 1 and f"Error: {name} is not implemented" in done.output, name


@pytest.mark.parametrize("arguments,code", [
    (["nosuch"], 1), (["user", "nosuch"], 1), (["--conf", "F", "user"], 1), (["--uid", "u", "user", "nosuch"], 1), (["user", "info", "--nosuch"], 22),
])
def test_nonsense_is_a_usage_error(arguments, code):
    assert CliRunner().invoke(rgw_admin, arguments).exit_code == code


@pytest.mark.parametrize("line,ours", [
    ("--tenant t --uid=u --display_name N --access_key K user create", "user create --tenant t --uid=u --display-name N --access-key K"),
    ("bucket --bucket b stats --format=json", "bucket stats --bucket b"), ("buckets list --pretty-format", "bucket list"),
    ("--bucket user bucket remove", "bucket rm --bucket user"), ("--system true user modify --admin false", "user modify --system true --admin false"),
    ("user create --system --uid u", "user create --system true --uid u"), ("user modify --admin=0", "user modify --admin 0"),
    ("bucket check --fix=true --check-objects=0", "bucket check --fix"), ("--id x --debug-rgw=0 --debug_ms 1 user list", "user list --name client.x"),
    ("-c F -n client.x reshard bucket --num-shards 3", "bucket reshard --conf F --name client.x --num-shards 3"),
    ("lc process --rgw-lc-debug-interval=1", "lc process -o rgw_lc_debug_interval=1"),
    ("orphans list jobs", "orphans list-jobs"), ("--rgw_zone Z metadata get user:u", "metadata get -o rgw_zone=Z user:u"),
    ("quota set --max-objects -1 --uid u", "quota set --max-objects -1 --uid u"), ("--whatever", "--whatever"),
    ("bucket check olh --fix", "bucket check --fix olh"), ("--conf F bucket nosuch", "bucket nosuch"), ("--conf F user -h", "user -h"),
    ("metadata put user:u --infile -", "metadata put --infile - user:u"),
])
def test_the_grammar_is_radosgw_admins(line, ours):
    assert ordered(rgw_admin, line.split()) == ours.split()


def test_users_places_and_pages(tmp_path):
    def run(line: str, code: int = 0):
        done = CliRunner().invoke(rgw_admin, ["--data", str(tmp_path), *line.split()])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if done.stdout else done.stderr

    for wrong in ("--placement-id none", "--placement-id default-placement --storage-class none", "--storage-class STANDARD", "--system=maybe"):
        run(f"user create --uid placed --display-name x {wrong}", 22)
    made = run("user create --uid placed --display-name x --system --placement-id default-placement --tags a,b")
    assert (made["default_placement"], made["default_storage_class"], made["placement_tags"]) == ("default-placement", "", ["a", "b"])
    assert made["system"] == "true"
    changed = run("user modify --uid placed --placement-id default-placement --storage-class STANDARD --system=false")
    assert changed["default_storage_class"] == "STANDARD" and changed["placement_tags"] == ["a", "b"] and "system" not in changed
    run("user create --uid placed2 --display-name x")
    assert run("user list --max-entries 1 --marker placed") == {"keys": ["placed2"], "truncated": "false", "count": 1}
    assert run(f"orphans list-jobs --job-dir {tmp_path}") == []
    assert run("user rm --uid placed --purge-keys") == ""


def test_other_formats_are_refused(tmp_path):
    done = CliRunner().invoke(rgw_admin, ["--data", str(tmp_path), "--format=xml", "user", "list"])
    assert done.exit_code == 22 and "--format xml is not implemented" in done.output
    done = CliRunner().invoke(rgw_admin, ["--format", "json", "--data", str(tmp_path), "--uid", "nobody", "user", "info"])
    assert done.exit_code == 22 and "NoSuchUser" in done.output


def test_progress_goes_to_terminals_only(capfd, monkeypatch):
    quiet = output.Progress()
    quiet("halfway")
    quiet.end()
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    loud = output.Progress()
    loud("halfway there")
    loud("done")
    loud.end()
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err == "\rhalfway there\r             \r"  # no more than ten lines a second


def test_json_of_odd_names(capsys):
    output.show({"key": "a\udc80ü"})
    assert json.loads(capsys.readouterr().out) == {"key": "a\ufffdü"}


@pytest.mark.parametrize("shell,shown", [("bash", "plain,check"), ("zsh", "plain\ncheck\nCompares"), ("fish", "plain,check\tCompares")])
def test_words_are_completed(shell, shown):
    """What the shells ask for on every press of the tab key, and the script that makes them ask."""
    def asked(what: str, **words: str) -> str:
        return CliRunner().invoke(rgw_admin, [], env={"_RGW_ADMIN_COMPLETE": f"{shell}_{what}", **words}, prog_name="rgw-admin").output

    line = {"COMP_WORDS": "rgw-admin bucket ch", "COMP_CWORD": "ch" if shell == "fish" else "2"}
    answer = asked("complete", **line)
    assert shown in answer and "chown" in answer and "stats" not in answer
    script = asked("source")
    assert f"_RGW_ADMIN_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        check = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, timeout=60)
        assert (check.returncode, check.stderr) == (0, "")
