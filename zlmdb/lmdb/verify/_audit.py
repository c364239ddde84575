"""The audit: walk every tree of a file once and account for every page."""

from __future__ import annotations

from itertools import pairwise
from operator import gt
from typing import BinaryIO

from zlmdb.lmdb.verify._freelist import FreeList
from zlmdb.lmdb.verify._layout import (
    DATABASE_SIZE,
    F_BIGDATA,
    F_DUPDATA,
    F_SUBDATA,
    MAX_DEPTH,
    META_PAGES,
    NO_PAGE,
    P_BRANCH,
    P_DIRTY,
    P_LEAF,
    P_LEAF2,
    P_SUBP,
    Database,
)
from zlmdb.lmdb.verify._overflow import check_overflow
from zlmdb.lmdb.verify._page import DamageError, Page, Value
from zlmdb.lmdb.verify._pagefile import PageFile
from zlmdb.lmdb.verify._pagemap import FREE
from zlmdb.lmdb.verify._tree import Kind, Rank, Tree

MAX_PROBLEMS = 200
_SHOWN = 40  # bytes of a key that a problem names


class _TooManyProblemsError(Exception):
    """Ends an audit early; the list is full."""


class _Verifier:
    """One audit of one file.

    Args:
        file: The data file, open for reading in binary mode.
        size: Its size in bytes.

    Raises:
        VerifyError: The meta pages do not describe a file that can be walked.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._problems: list[str] = []
        self._pages = PageFile(file, size, self._report)
        self._free_list = FreeList(self._pages)
        self.psize = self._pages.page_size
        self._cut = False  # some tree or record could not be read to its end

    @property
    def free(self) -> bytearray:
        """A flag for each page: 1 if the freeDB lists it. Meaningful once `verify` has run."""
        flags = bytearray(self._pages.meta.last_page + 1)
        for pgno in self._pages.seen.pages(FREE):
            flags[pgno] = 1
        return flags

    def verify(self) -> list[str]:
        """Run the audit and return the problems, in the order found."""
        try:
            self._check_meta_slots()
            self._check_tree(Tree.of(Kind.FREE, "freeDB", self._pages.meta.free))
            self._check_tree(Tree.of(Kind.MAIN, "main DB", self._pages.meta.main))
            self._check_coverage()
        except _TooManyProblemsError:
            self._problems.append(f"further problems suppressed after {MAX_PROBLEMS}")
        return self._problems

    def _report(self, problem: str) -> None:
        if len(self._problems) == MAX_PROBLEMS:
            raise _TooManyProblemsError
        self._problems.append(problem)

    def _check_meta_slots(self) -> None:
        """Transaction N writes meta page N & 1; both are 0 in a file nobody has written to."""
        for slot, meta in enumerate(self._pages.metas):
            if meta.pgno != slot:
                self._report(f"meta page {slot}: its header calls it page {meta.pgno}")
            if meta.txnid and meta.txnid & 1 != slot:
                self._report(f"meta page {slot}: holds transaction {meta.txnid} of the other slot")

    def _check_coverage(self) -> None:
        """Every page up to the last one must be reachable or free."""
        if self._cut:
            return
        leaked = False
        for first, last in self._pages.seen.gaps(META_PAGES, self._pages.meta.last_page):
            leaked = True
            pages = f"page {first} is" if first == last else f"pages {first} to {last} are"
            self._report(f"{pages} neither reachable nor in the freeDB")
        if leaked:
            for problem in self._free_list.hollow:
                self._report(problem)

    # Trees

    def _check_tree(self, tree: Tree) -> None:
        """Check a database record, walk its tree, and compare the counters."""
        record = tree.record
        if not tree.flags_sound():
            self._report(f"{tree.name}: invalid flag combination {record.flags:#x} in md_flags")
        if tree.kind in (Kind.MAIN, Kind.NAMED) and record.pad:
            self._report(f"{tree.name}: md_pad is {record.pad}, not 0")
        if self._pages.in_range(record.root):
            self._visit(tree, record.root, 1, None, None)
        elif record.root != NO_PAGE:
            self._report(f"{tree.name}: root page {record.root} out of range")
            tree.cut = True
        self._cut |= tree.cut
        for miscount in tree.miscounts():
            self._report(f"{tree.name}: {miscount}")

    def _visit(self, tree: Tree, pgno: int, level: int, low: Rank | None, high: Rank | None) -> None:
        """Check the subtree at page `pgno`, whose keys must lie in `low` <= key < `high`."""
        try:
            page = self._open(tree, pgno)
            if page.header.flags & P_BRANCH:
                self._check_branch(tree, page, level, low, high)
            else:
                tree.depths.add(level)
                tree.leaf += 1
                self._check_leaf(tree, page, low, high)
        except DamageError as damage:
            self._report(f"{tree.name}: {damage}")
            tree.cut = True

    def _open(self, tree: Tree, pgno: int) -> Page:
        """Claim a branch or leaf page for `tree` and return it."""
        page = self._pages.open(pgno)
        flags = page.header.flags
        if flags not in (P_BRANCH, P_LEAF | P_LEAF2 if tree.fixed else P_LEAF):
            dirty = " (dirty mark)" if flags & P_DIRTY else ""
            raise page.damage(f"mixed or invalid page flags {flags:#x}{dirty}")
        return page

    def _check_branch(self, tree: Tree, page: Page, level: int, low: Rank | None, high: Rank | None) -> None:
        tree.branch += 1
        if level == MAX_DEPTH:
            raise page.damage(f"the tree is deeper than {MAX_DEPTH} levels")
        keys, children = page.branch()
        # LMDB leaves a branch page with a single child in the freeDB at times (ITS#8336).
        if len(children) < 2 and tree.kind is not Kind.FREE:
            raise page.damage("a branch page with fewer than two children")
        ranks = [tree.order(key) for key in keys[1:]]
        self._check_order(tree, page, ranks, low, high)
        bounds = [low, *ranks, high]
        for child, (child_low, child_high) in zip(children, pairwise(bounds), strict=True):
            self._visit(tree, child, level + 1, child_low, child_high)

    def _check_order(
        self, tree: Tree, page: Page, ranks: list[Rank], low: Rank | None, high: Rank | None
    ) -> None:
        """Report keys that do not ascend strictly or leave the bounds their parent set."""
        what = "dup data" if tree.kind is Kind.DUP else "keys"
        if not all(map(gt, ranks[1:], ranks)):
            self._report(f"{tree.name}: {page.name}: {what} out of order")
        elif ranks and (
            (low is not None and ranks[0] < low) or (high is not None and ranks[-1] >= high)  # type: ignore[operator]
        ):
            self._report(f"{tree.name}: {page.name}: {what} out of order with the parent page")

    # Leaves

    def _check_leaf(self, tree: Tree, page: Page, low: Rank | None = None, high: Rank | None = None) -> None:
        """Check a leaf page, or a sub-page, and everything its nodes refer to."""
        if page.header.flags & P_LEAF2:
            keys, values = page.fixed_keys(tree.record.pad), list[Value]()
        else:
            keys, values = page.leaf()
        self._check_order(tree, page, list(map(tree.order, keys)), low, high)
        if tree.kind is not Kind.DUP and not all(keys):
            self._report(f"{tree.name}: {page.name}: an empty key")
        if tree.kind is Kind.FREE:
            self._free_list.check(tree, page, keys, values)
            return
        tree.entries += len(keys)
        for index, value in enumerate(values):
            if value.flags or (tree.kind is Kind.DUP and value.size):
                try:
                    self._check_node(tree, page, keys[index], value)
                except DamageError as damage:
                    self._report(f"{tree.name}: {page.name}: node {index}: {damage}")
                    tree.cut = True

    def _check_node(self, tree: Tree, page: Page, key: bytes, value: Value) -> None:
        """Check a node that is more than a key and a value."""
        flags = value.flags
        if tree.kind is Kind.DUP:
            raise DamageError(f"invalid flag combination {flags:#x} or data in a duplicate")
        if flags == F_BIGDATA:
            check_overflow(self._pages, tree, page, value)
        elif flags == F_SUBDATA and tree.may_name_databases:
            self._check_named(key, self._record(page, value))
        elif flags == F_DUPDATA and tree.dupsort:
            self._check_subpage(tree, page, key, value)
        elif flags == F_DUPDATA | F_SUBDATA and tree.dupsort:
            self._check_subtree(tree, key, self._record(page, value))
        else:
            raise DamageError(f"invalid flag combination {flags:#x}")

    def _record(self, page: Page, value: Value) -> Database:
        if value.size != DATABASE_SIZE:
            raise DamageError(f"a database record of {value.size} bytes, not {DATABASE_SIZE}")
        return Database.parse(page.data, value.offset)

    def _check_named(self, key: bytes, record: Database) -> None:
        name = key.removesuffix(b"\0") if self._pages.layout.version == 3 else key
        self._check_tree(Tree.of(Kind.NAMED, f"named DB {_show(name)}", record))

    def _check_subtree(self, tree: Tree, key: bytes, record: Database) -> None:
        """Check duplicates that have a tree of their own."""
        sub = tree.duplicates(f"duplicates of {_show(key)}", record)
        if record.flags != tree.dup_flags:
            raise DamageError(f"invalid flag combination {record.flags:#x} in md_flags")
        if sub.fixed != bool(record.pad):
            raise DamageError(
                f"md_pad is {record.pad} for duplicates of {'fixed' if sub.fixed else 'any'} size"
            )
        self._check_tree(sub)
        self._absorb(tree, sub)

    def _check_subpage(self, tree: Tree, page: Page, key: bytes, value: Value) -> None:
        """Check duplicates that live on a small page inside the node."""
        data = page.data[value.offset : value.offset + value.size]
        small = Page(self._pages.layout, data, "sub-page")
        record = Database(small.header.pad, tree.dup_flags, 1, 0, 1, 0, 0, 0)
        sub = tree.duplicates(f"duplicates of {_show(key)}", record)
        flags = small.header.flags & ~self._pages.layout.subpage_mark
        if flags != P_LEAF | P_SUBP | (P_LEAF2 if sub.fixed else 0):
            raise small.damage(f"mixed or invalid page flags {small.header.flags:#x}")
        self._check_leaf(sub, small)
        self._absorb(tree, sub)

    def _absorb(self, tree: Tree, sub: Tree) -> None:
        """Count the duplicates of one key, which was itself counted as one entry already."""
        tree.entries += sub.entries - 1
        tree.cut |= sub.cut


def _show(key: bytes) -> str:
    """Return `key` as text of bounded length."""
    return repr(key) if len(key) <= _SHOWN else f"{key[:_SHOWN]!r}..."
