# SPDX-License-Identifier: BSD-2-Clause
"""Whether what several clients saw of a register with compare-and-swap has an order: the commands,
each between its begin and its end, one after the other, with the same answers."""

READ, WRITE, SWAP = "read", "write", "swap"


class Op:
    def __init__(self, kind, expected, value, optional):
        self.kind, self.expected, self.value, self.optional = kind, expected, value, optional

    def apply(self, value):
        """The register's value after it, or None: it could not have been answered so."""
        if self.kind == READ:
            return value if value == self.value else None
        if self.kind == WRITE:
            return self.value
        if self.value is None:
            return value if value != self.expected else None
        return self.value if value == self.expected else None


def linearized(states, pending, op):
    """All states in which op has just happened, from states (value, done) in which other pending
    commands may have to happen before it."""
    found, seen, todo = set(), set(states), list(states)
    while todo:
        value, done = todo.pop()
        if op in done:
            found.add((value, done - {op}))
            continue
        after = op.apply(value)
        if after is not None:
            found.add((after, done))
        for other in pending:
            if other is op or other in done:
                continue
            after = other.apply(value)
            if after is None:
                continue
            state = (after, done | {other})
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return found


def first_impossible(events):
    """events: (time, ends, op), sorted. Returns the first answer that no order explains, or None.
    A state is the value and the commands that have happened but not ended."""
    states, pending = {(0, frozenset())}, set()
    for _, ends, op in events:
        if not ends:
            pending.add(op)
            continue
        after = linearized(states, pending, op)
        if op.optional:
            after |= {(value, done) for value, done in states if op not in done}
        if not after:
            return op, states
        states = after
        pending.discard(op)
    return None
