"""The category of COCO's form that means a person with COCO's 17 joints.

Knows the list `categories` of an annotation file. Other data sets have COCO's form with other joints, or with animals.
"""

from __future__ import annotations

from sanpose.data.readers import entries
from sanpose.errors import UserError
from sanpose.pose.joints import COCO17

PERSON = 1
"""COCO's own number of the category, and that of files that do not name their categories."""


def person_category(categories: object, where: object) -> int:
    """The id of the category named "person"; PERSON where the file names no category.

    Raises UserError where no category or more than one is named so, and where the category's joints do not begin with
    COCO's 17 joints. Names are compared without regard to case.
    """
    if not categories:
        return PERSON
    if not isinstance(categories, list):
        raise UserError("'categories' is no list", where=where, expected='[{"id": 1, "name": "person", ...}]')
    named = [entry for entry in categories if isinstance(entry, dict) and entry.get("name") is not None]
    if not named:
        for entry in categories:
            _require_joints(entry, where)
        return PERSON
    people = [entry for entry in named if str(entry["name"]).strip().lower() == "person"]
    if len(people) != 1:
        names = ", ".join(str(entry["name"]) for entry in named[:5])
        raise UserError(
            f"{len(people) or 'no'} categories are named person" if people else "no category is named person",
            where=f"{where}, categories",
            expected=f"one category named person; the names are {names}{', ...' if len(named) > 5 else ''}",
            hint="sanpose reads people with COCO's 17 joints only",
        )
    _require_joints(people[0], where)
    return entries.integer(people[0], "id", f"{where}, categories")


def is_person(entry: object, person_id: int, where: object) -> bool:
    """Whether an annotation or a result is of this category; one without a category is. Raises UserError for a category
    that is no integer."""
    has_category = isinstance(entry, dict) and entry.get("category_id") is not None
    return not has_category or entries.integer(entry, "category_id", where) == person_id


def _require_joints(category: object, where: object) -> None:
    """Raise UserError unless the names of the category's joints, where it has any, begin with COCO's 17."""
    listed = category.get("keypoints") if isinstance(category, dict) else None
    if not isinstance(listed, list) or not listed:
        return
    names = [str(name).strip().lower().replace(" ", "_").replace("-", "_") for name in listed]
    for n, expected in enumerate(COCO17.joints):
        name = names[n] if n < len(names) else "missing"
        if name != expected:
            raise UserError(
                f"joint {n + 1} of the category is {name}, where COCO has {expected}",
                where=f"{where}, categories",
                expected=f"COCO's 17 joints first: {', '.join(COCO17.joints[:4])}, ...",
                hint="this is another skeleton: convert the joints to COCO's order first",
            )
