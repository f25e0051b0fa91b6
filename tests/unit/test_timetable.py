"""The timetable, compared with a naive one."""

from __future__ import annotations

from random import Random

import pytest

from gsched.hub.timetable import Timetable


class Entry:
    def __init__(self, name: str) -> None:
        self.name = name
        self.due: int | None = None

    def __repr__(self) -> str:
        return f"{self.name}@{self.due}"


def filled(*entries: tuple[str, int]) -> tuple[Timetable[Entry], dict[str, Entry]]:
    table, by_name = Timetable(), {}
    for name, due in entries:
        by_name[name] = Entry(name)
        table.add(by_name[name], due)
    return table, by_name


def drained(table: Timetable[Entry], until: int) -> list[tuple[str, int]]:
    found = []
    while (taken := table.pop(until)) is not None:
        found.append((taken[0].name, taken[1]))
    return found


def test_entries_come_in_order_of_time_and_within_a_time_as_they_were_added():
    table, _ = filled(("late", 30), ("a", 10), ("b", 20), ("c", 10), ("d", 20))
    assert drained(table, 25) == [("a", 10), ("c", 10), ("b", 20), ("d", 20)]
    assert (len(table), table.next_due()) == (1, 30)


def test_an_entry_that_is_taken_out_is_in_no_timetable():
    table, entries = filled(("a", 10))
    table.pop(10)
    assert entries["a"].due is None
    assert (len(table), list(table), table.next_due(), table.pop(99)) == (0, [], None, None)


def test_a_removed_entry_does_not_come():
    table, entries = filled(("a", 10), ("b", 10))
    table.remove(entries["a"])
    table.remove(entries["a"])  # once more does no harm
    assert (len(table), drained(table, 10)) == (1, [("b", 10)])


def test_an_entry_that_left_its_time_and_came_back_comes_once():
    table, entries = filled(("a", 10), ("b", 10))
    table.remove(entries["a"])
    table.add(entries["a"], 10)
    assert len(list(table)) == len(table) == 2
    assert sorted(drained(table, 10)) == [("a", 10), ("b", 10)]
    assert len(table) == 0


def test_an_entry_that_moved_comes_at_its_new_time_only():
    table, entries = filled(("a", 10), ("b", 20))
    table.remove(entries["a"])
    table.add(entries["a"], 30)
    assert drained(table, 100) == [("b", 20), ("a", 30)]


def test_an_earlier_entry_comes_first_even_while_a_time_is_being_served():
    table, _ = filled(("a", 20), ("b", 20))
    assert table.pop(20) is not None
    table.add(Entry("early"), 10)
    assert (table.next_due(), drained(table, 20)) == (10, [("early", 10), ("b", 20)])


def test_nothing_comes_early_when_time_goes_back_while_a_time_is_being_served():
    table, _ = filled(("a", 20), ("b", 20))
    assert table.pop(20) is not None
    assert table.pop(19) is None
    assert drained(table, 20) == [("b", 20)]


def test_an_entry_may_return_to_the_time_that_is_being_served():
    table, entries = filled(("a", 20), ("b", 20))
    assert table.pop(20) == (entries["a"], 20)
    table.add(entries["a"], 20)
    assert drained(table, 20) == [("b", 20), ("a", 20)]


def test_many_entries_that_left_do_not_stay_in_memory():
    table: Timetable[Entry] = Timetable()
    entry = Entry("restless")
    for due in range(100_000):
        table.remove(entry)
        table.add(entry, due)
    assert len(table._times) < 3000 and len(table._entries) < 3000
    assert drained(table, 100_000) == [("restless", 99_999)]


class NaiveTimetable:
    """Looks through everything, every time."""

    def __init__(self) -> None:
        self.due: dict[str, int] = {}

    def first_until(self, until: int) -> int | None:
        return min((due for due in self.due.values() if due <= until), default=None)


@pytest.mark.parametrize("seed", range(30))
def test_a_timetable_agrees_with_a_naive_one(seed):
    random = Random(seed)
    span = random.choice([3, 50, 100_000])
    table, model = Timetable(), NaiveTimetable()
    entries = {str(number): Entry(str(number)) for number in range(random.choice([3, 40, 1500]))}
    for _ in range(4000):
        entry = random.choice(list(entries.values())) if random.random() < 0.9 else entries["0"]
        match random.choices(["add", "remove", "move", "pop"], [5, 2, 4, 4])[0]:
            case "add" if entry.due is None:
                model.due[entry.name] = random.randrange(span)
                table.add(entry, model.due[entry.name])
            case "remove":
                model.due.pop(entry.name, None)
                table.remove(entry)
            case "move":
                table.remove(entry)
                model.due[entry.name] = random.randrange(span)
                table.add(entry, model.due[entry.name])
            case "pop":
                until = random.randrange(span)
                taken, expected = table.pop(until), model.first_until(until)
                assert (taken and taken[1]) == expected
                if taken:
                    assert model.due.pop(taken[0].name) == expected
                    assert taken[0].due is None
        assert len(table) == len(model.due)
        first = table.next_due()
        assert not model.due or (first is not None and first <= min(model.due.values()))
    assert {entry.name: entry.due for entry in table} == model.due
    assert sorted(drained(table, span)) == sorted(model.due.items())
