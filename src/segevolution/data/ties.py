"""Groups of what hangs together by pairs, such as cases of one patient and copies of one scan."""

from collections.abc import Hashable, Iterable
from typing import TypeVar

Member = TypeVar("Member", bound=Hashable)


def group_leaders(members: Iterable[Member], ties: Iterable[tuple[Member, Member]]) -> dict[Member, Member]:
    """Member -> the member that stands for its group, the same for all that ties join directly or through others.

    Args:
        members: all of them, each in a group of its own where nothing ties it to another.
        ties: pairs of members.
    """
    leader = {member: member for member in members}

    def top(member: Member) -> Member:
        while leader[member] != member:
            member = leader[member]
        return member

    for first, second in ties:
        leader[top(second)] = top(first)
    return {member: top(member) for member in leader}
