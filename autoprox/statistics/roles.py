"""The roles of layers: embedding, attention, mlp, conv or head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def inside(owner: str, module: str) -> bool:
    """Say whether the module `owner` is `module` or inside it."""
    return not module or owner == module or owner.startswith(module + ".")


def holds(module: str, owners: Iterable[str]) -> bool:
    """Say whether `module` is, or contains, one of `owners`."""
    return any(inside(owner, module) for owner in owners)


def roles_of(
    owners: tuple[str, ...], dims: tuple[int, ...], order: Mapping[str, int], attending: set[str]
) -> tuple[str, ...]:
    """Roles of the layers: the first one run, the last one run, the others by place and shape."""
    ran = [place for place, owner in enumerate(owners) if owner in order]
    roles = []
    for place, (owner, size) in enumerate(zip(owners, dims, strict=True)):
        if ran and place == ran[0]:
            role = "embedding"
        elif ran and place == ran[-1]:
            role = "head"
        elif any(inside(owner, module) for module in attending):
            role = "attention"
        else:
            role = "mlp" if size == 2 else "conv"
        roles.append(role)
    return tuple(roles)
