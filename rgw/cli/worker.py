"""The entry point of `rgw serve`'s worker processes: the same command once more."""

from rgw.cli.main import rgw

if __name__ == "__main__":
    rgw(prog_name="rgw")
