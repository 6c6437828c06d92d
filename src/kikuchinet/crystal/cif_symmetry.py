"""Which symmetry a CIF states: operations first, then the Hall symbol, then Hermann-Mauguin, then the number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.standard import hall_types
from kikuchinet.crystal.symmetry import Setting, find_setting, reference_setting
from kikuchinet.errors import InputError

_OPERATION_TAGS = (
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_symmetry_equiv.pos_as_xyz",
)
_HALL_TAGS = ("_space_group_name_Hall", "_space_group.name_Hall", "_symmetry_space_group_name_Hall")
_HM_TAGS = (
    "_space_group_name_H-M_alt",
    "_space_group.name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_symmetry.space_group_name_H-M",
    "_space_group_name_H-M_full",
    "_space_group_name_H-M_ref",
)
_NUMBER_TAGS = (
    "_space_group_IT_number",
    "_space_group.IT_number",
    "_symmetry_Int_Tables_number",
    "_symmetry.Int_Tables_number",
)
_LARGEST_GROUP = (
    4 * 192
)  # 192 operations are the most of any tabulated setting; unusual cells may hold a few times more


@dataclass(frozen=True)
class StatedSymmetry:
    """Symmetry as a CIF states it.

    Parameters
    ----------
    candidates
        Settings that the statement may mean, the likeliest first: several if a Hermann-Mauguin symbol leaves the
        origin open. Empty if the operations are those of no tabulated setting.
    rotations, translations
        The operations listed, where `candidates` is empty; shapes (m, 3, 3) and (m, 3).
    note
        What had to be decided.
    """

    candidates: tuple[Setting, ...]
    rotations: NDArray[np.int64] | None = None
    translations: NDArray[np.float64] | None = None
    note: str = ""


def stated_symmetry(block: gemmi.cif.Block, subject: str) -> StatedSymmetry:
    """Read the symmetry of a CIF block.

    Parameters
    ----------
    block
        The data block.
    subject
        Name of the file, for errors.

    Returns
    -------
    StatedSymmetry
        Settings, or bare operations where the setting is not tabulated.

    Raises
    ------
    InputError
        If no symmetry is stated, or it cannot be understood.
    """
    number_text = _first(block, _NUMBER_TAGS)
    alpha, gamma = (_angle(block, tag) for tag in ("_cell_angle_alpha", "_cell_angle_gamma"))
    named = _from_name(_first(block, _HALL_TAGS), _first(block, _HM_TAGS), number_text, alpha, gamma)

    operations = _operations(block, subject)
    if operations is not None:
        listed = gemmi.find_spacegroup_by_ops(operations)
        if listed is not None:
            return _reconcile(find_setting(_xhm_of(listed)), named)
        rotations, translations = _arrays(operations)
        inside = [s for s in named.candidates if _is_part(rotations, translations, s)] if named else []
        if inside and named:
            return StatedSymmetry(tuple(inside), note="operations listed are incomplete; symbol used instead")
        _require_group(rotations, translations, subject)
        return StatedSymmetry((), rotations, translations)
    if named is not None:
        return named
    stated = [text for tags in (_HALL_TAGS, _HM_TAGS, _NUMBER_TAGS) if (text := _first(block, tags))]
    if stated:
        raise InputError(subject, f"unknown space group {stated[0]!r} and no symmetry operations")
    raise InputError(subject, "states no space group and no symmetry operations")


def _reconcile(listed: Setting, named: StatedSymmetry | None) -> StatedSymmetry:
    """Operations rule, unless they are only a part of the group that the symbol names (a list cut short)."""
    if named is None or any(candidate == listed for candidate in named.candidates):
        return StatedSymmetry((listed,))
    larger = tuple(s for s in named.candidates if _is_part(listed.rotations, listed.translations, s))
    if larger:
        return StatedSymmetry(larger, note="operations listed are incomplete; symbol used instead")
    if all(candidate.number != listed.number for candidate in named.candidates):
        symbol = named.candidates[0].symbol
        return StatedSymmetry(
            (listed,), note=f"operations listed ({listed.symbol}) used, not the symbol ({symbol})"
        )
    return StatedSymmetry((listed,))


def _first(block: gemmi.cif.Block, tags: tuple[str, ...]) -> str:
    """First value of these tags that says something, without quotes; empty if there is none."""
    for tag in tags:
        raw = block.find_value(tag)
        if raw is not None:
            text = gemmi.cif.as_string(raw).strip()
            if text and not set(text) <= set("?. "):
                return text
    return ""


def _angle(block: gemmi.cif.Block, tag: str) -> float:
    value = gemmi.cif.as_number(block.find_value(tag) or "?")
    return 0.0 if np.isnan(value) else float(value)


def _operations(block: gemmi.cif.Block, subject: str) -> gemmi.GroupOps | None:
    for tag in _OPERATION_TAGS:
        triplets = [gemmi.cif.as_string(value) for value in block.find_values(tag)]
        if not triplets and (single := block.find_value(tag)):
            triplets = [gemmi.cif.as_string(single)]
        triplets = [text for text in triplets if text.strip(" ?.")]
        if not triplets:
            continue
        if len(triplets) > _LARGEST_GROUP:
            raise InputError(
                subject, f"lists {len(triplets)} symmetry operations, more than any space group has"
            )
        try:
            operations = [gemmi.Op(text.strip().lower()) for text in triplets]
        except (RuntimeError, ValueError) as error:
            raise InputError(subject, f"symmetry operation not understood: {error}") from None
        if not any(op == gemmi.Op("x,y,z") for op in operations):
            raise InputError(subject, "the symmetry operations listed lack x,y,z")
        if any(entry % gemmi.Op.DEN for op in operations for row in op.rot for entry in row):
            raise InputError(
                subject, "a symmetry operation listed turns by coefficients that are not whole numbers"
            )
        return gemmi.GroupOps(operations)
    return None


def _from_name(hall: str, symbol: str, number_text: str, alpha: float, gamma: float) -> StatedSymmetry | None:
    """Settings that a Hall symbol, else a Hermann-Mauguin symbol, else a number means; None if none does."""
    if hall:
        try:
            found = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))
        except (RuntimeError, ValueError):
            found = None
        if found is not None:
            return StatedSymmetry((find_setting(_xhm_of(found)),))
    if symbol:
        candidates, note = _from_hermann_mauguin(symbol, alpha, gamma)
        if candidates:
            return StatedSymmetry(candidates, note=note)
    if number_text.isdigit() and 1 <= int(number_text) <= 230:
        setting = reference_setting(int(number_text))
        note = f"only the number of the space group was given; setting {setting.symbol} assumed"
        return StatedSymmetry((setting, *_other_origin(setting)), note=note)
    return None


def _from_hermann_mauguin(symbol: str, alpha: float, gamma: float) -> tuple[tuple[Setting, ...], str]:
    # ICSD appends S and Z for origin choices 1 and 2, H (or HR) and R for the axes of rhombohedral groups.
    text = " ".join(symbol.replace("(", "").replace(")", "").replace("_", "").split())
    for suffix, choice in (("S", ":1"), ("Z", ":2"), ("HR", ":H")):
        if text.endswith(suffix) and len(text) > len(suffix) + 1:
            found = gemmi.find_spacegroup_by_name(text[: -len(suffix)].strip(" :") + choice)
            if found is None and suffix != "HR":  # Z is also written where there is only one origin
                found = gemmi.find_spacegroup_by_name(text[: -len(suffix)].strip(" :"))
            if found is not None:
                return (find_setting(_xhm_of(found)),), ""
    found = gemmi.find_spacegroup_by_name(text, alpha, gamma, "2")
    if found is None:
        number = _full_symbols().get(text.replace(" ", "").lower())
        if number is None:
            return (), ""
        found = gemmi.get_spacegroup_reference_setting(number)
    setting = find_setting(_xhm_of(found))
    if ":" in text:
        return (setting,), ""
    others = _other_origin(setting)
    return (setting, *others), ""


def _other_origin(setting: Setting) -> tuple[Setting, ...]:
    """The same axes with the other origin, for a setting with origin choice 1 or 2."""
    base, _, choice = setting.symbol.partition(":")
    other = {"1": "2", "2": "1"}.get(choice)
    return () if other is None else (find_setting(f"{base}:{other}"),)


@cache
def _full_symbols() -> dict[str, int]:
    """Space-group numbers by full Hermann-Mauguin symbol without blanks, such as ``f41/d-32/m``."""
    numbers: dict[str, int] = {}
    for kind in hall_types().values():
        for symbol in (kind.international_full, kind.international_short):
            numbers.setdefault(symbol.replace("_", "").replace(" ", "").lower(), int(kind.number))
    return numbers


def _xhm_of(group: gemmi.SpaceGroup) -> str:
    """Extended symbol under which gemmi finds the group again (a few settings of the table have two names)."""
    return str(gemmi.find_spacegroup_by_name(group.xhm()).xhm())


def _arrays(operations: gemmi.GroupOps) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    listed = list(operations)
    rotations = np.array([op.rot for op in listed], dtype=np.int64) // gemmi.Op.DEN
    translations = np.array([op.tran for op in listed], dtype=np.float64) / gemmi.Op.DEN
    return rotations, translations % 1.0


def _keys(rotations: NDArray[np.int64], translations: NDArray[np.float64]) -> set[tuple[int, ...]]:
    shifts = np.rint(translations * gemmi.Op.DEN).astype(np.int64) % gemmi.Op.DEN
    table = np.concatenate([rotations.reshape(-1, 9), shifts], axis=1)
    return {tuple(int(x) for x in row) for row in table}


def _is_part(rotations: NDArray[np.int64], translations: NDArray[np.float64], setting: Setting) -> bool:
    """Whether operations are a proper part of those of a setting."""
    return _keys(rotations, translations) < _keys(setting.rotations, setting.translations)


def _require_group(rotations: NDArray[np.int64], translations: NDArray[np.float64], subject: str) -> None:
    if (np.abs(np.rint(np.linalg.det(rotations))) != 1).any():
        raise InputError(subject, "a symmetry operation listed changes volume")
    products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 3, 3)
    shifts = np.einsum("aij,bj->abi", rotations, translations) + translations[:, None, :]
    if _keys(products, shifts.reshape(-1, 3)) != _keys(rotations, translations):
        raise InputError(subject, "the symmetry operations listed do not form a group")
