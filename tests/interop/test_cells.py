"""The choice of cells: nothing that is to be covered may fall out of it."""
import itertools

import pytest

from .cells import Cell, ciphers_with_macs, pairwise, plan

OURS = {"kex": ["a", "b", "c"], "hostkey": ["h", "i"], "cipher": ["x-ctr", "y-gcm@openssh.com"], "mac": ["m", "n"]}


def pairs_of(cells):
    return {pair for cell in cells for pair in itertools.combinations(enumerate((cell.kex, cell.hostkey, cell.cipher, cell.rekey)), 2)}


def test_every_pair_is_covered_by_far_fewer_cells():
    cells = [Cell(*values) for values in itertools.product("abcdefgh", "ijklmn", "opqrstuvwxyz", ("us", "peer"))]
    chosen = pairwise(cells)
    assert pairs_of(chosen) == pairs_of(cells)
    assert len(chosen) < len(cells) / 5
    assert chosen == pairwise(cells)


def test_an_aead_has_no_mac_of_its_own():
    assert ciphers_with_macs(OURS["cipher"], OURS["mac"]) == ["x-ctr+m", "x-ctr+n", "y-gcm@openssh.com"]


def test_only_what_both_know_and_nothing_excluded():
    theirs = {**OURS, "kex": ["z", "c", "a"], "mac": ["n"]}
    made = plan(OURS, theirs, ["us"], True, lambda cell: "broken there" if cell.hostkey == "i" else None)
    assert {cell.kex for cell in made.cells} == {"a", "c"}
    assert {cell.hostkey for cell in made.cells} == {"h"}
    assert {cell.cipher for cell in made.cells} == {"x-ctr+n", "y-gcm@openssh.com"}
    assert made.missing == {"kex": ["b"], "mac": ["m"]} and made.product == len(made.cells) == 4


@pytest.mark.parametrize("sides", [["us"], ["us", "peer"]])
def test_each_combination_once_and_each_pair_re_keyed(sides):
    made = plan(OURS, OURS, sides, True, lambda cell: None)
    assert len(made.cells) == len(set(made.cells))
    assert {cell.algorithms() for cell in made.cells} == set(itertools.product("abc", "hi", ["x-ctr+m", "x-ctr+n", "y-gcm@openssh.com"]))
    rekeyed = made.cells[:made.rekeyed]
    every = [Cell(*values) for values in itertools.product("abc", "hi", ["x-ctr+m", "x-ctr+n", "y-gcm@openssh.com"], sides)]
    assert pairs_of(rekeyed) == pairs_of(every)
    assert {cell.rekey for cell in made.cells[made.rekeyed:]} <= {"nobody"}
    assert plan(OURS, OURS, sides, False, lambda cell: None).cells == rekeyed
