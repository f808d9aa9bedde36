"""The one list of Debian packages is read right."""

from tools.packages import LIST, installed, listed


def test_comments_are_left_out_and_the_build_section_is_apart() -> None:
    assert listed("# a list\n\nfio   # why\nnbdkit\n\n# [build] before\ngcc\n") == (
        ("fio", "nbdkit"),
        ("gcc",),
    )


def test_the_list_names_each_package_once() -> None:
    names = [name for section in listed(LIST.read_text()) for name in section]
    assert len(names) == len(set(names))


def test_a_package_that_is_not_there_is_seen_as_missing() -> None:
    assert installed(("dpkg", "no-such-package")) == {"dpkg"}
